import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { Link } from "react-router";
import { api } from "../../api/http";
import { keys } from "../../api/queries";
import { useTitle } from "../../app/Page";
import { Button, ProblemView, TextField } from "../../ui";
import { AuthFrame } from "./AuthFrame";
import css from "./auth.module.css";

export default function SignIn() {
  useTitle("Sign in");
  const client = useQueryClient();
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const signIn = useMutation({
    mutationFn: () => api.post("/v1/identity/sign-in", { email, password }),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.me }),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    signIn.mutate();
  };
  return (
    <AuthFrame>
      <form className={css.form} onSubmit={submit}>
        <h1>Back to the lot</h1>
        <TextField
          label="E-mail"
          type="email"
          autoComplete="email"
          required
          value={email}
          onChange={(event) => setEmail(event.target.value)}
        />
        <TextField
          label="Password"
          type="password"
          autoComplete="current-password"
          required
          value={password}
          onChange={(event) => setPassword(event.target.value)}
        />
        {signIn.error && <ProblemView error={signIn.error} />}
        <Button type="submit" look="primary" size="large" because={signIn.isPending ? "One moment" : null}>
          {signIn.isPending ? "Signing in…" : "Sign in"}
        </Button>
        <p className={css.small}>
          New here? <Link to={`/sign-up${location.search}`}>Sign up and get 500 credits</Link>
        </p>
      </form>
    </AuthFrame>
  );
}
