import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { Link, useSearchParams } from "react-router";
import { api } from "../../api/http";
import { ProblemError } from "../../api/problem";
import { keys } from "../../api/queries";
import { useTitle } from "../../app/Page";
import { Button, ProblemView, TextField } from "../../ui";
import { AuthFrame } from "./AuthFrame";
import css from "./auth.module.css";

const PASSWORD_LENGTH_MIN = 10;

export default function SignUp() {
  useTitle("Sign up");
  const client = useQueryClient();
  const [search] = useSearchParams();
  const [form, setForm] = useState({ name: "", email: search.get("email") ?? "", password: "" });
  const signUp = useMutation({
    mutationFn: () => api.post("/v1/identity/sign-up", form),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.me }),
  });
  const set = (name: keyof typeof form) => (event: { target: { value: string } }) =>
    setForm((old) => ({ ...old, [name]: event.target.value }));
  const fault = (name: string) => fieldFault(signUp.error, name);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    signUp.mutate();
  };
  return (
    <AuthFrame>
      <form className={css.form} onSubmit={submit}>
        <h1>Make a picture larger. Make it move.</h1>
        <p className={css.lead}>Every price is shown before it is spent, and what fails on our side is not charged.</p>
        <ul className={css.gives}>
          <li>
            <b>500 credits</b> <span>arrive at once. No card.</span>
          </li>
          <li>
            <b>Yours</b> <span>an organisation, a project and API keys from the first minute.</span>
          </li>
        </ul>
        <TextField
          label="Your name"
          autoComplete="name"
          required
          maxLength={200}
          value={form.name}
          onChange={set("name")}
          fault={fault("name")}
        />
        <TextField
          label="E-mail"
          type="email"
          autoComplete="email"
          required
          value={form.email}
          onChange={set("email")}
          fault={fault("email")}
        />
        <TextField
          label="Password"
          type="password"
          autoComplete="new-password"
          required
          minLength={PASSWORD_LENGTH_MIN}
          help={`At least ${PASSWORD_LENGTH_MIN} characters. A sentence is good.`}
          value={form.password}
          onChange={set("password")}
          fault={fault("password")}
        />
        {signUp.error && <ProblemView error={signUp.error} />}
        <Button
          type="submit"
          look="primary"
          size="large"
          because={signUp.isPending ? "One moment: the account is being made" : null}
        >
          {signUp.isPending ? "Making your account…" : "Sign up and get 500 credits"}
        </Button>
        <p className={css.small}>
          You have an account? <Link to={`/sign-in${location.search}`}>Sign in</Link>
        </p>
      </form>
    </AuthFrame>
  );
}

/** What the server says about one field, by its JSON pointer. */
export function fieldFault(error: unknown, name: string): string | null {
  if (!(error instanceof ProblemError)) return null;
  return error.problem.errors?.find((one) => one.pointer.replace(/^[#/]+/, "") === name)?.message ?? null;
}
