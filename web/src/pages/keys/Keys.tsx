import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { useSearchParams } from "react-router";
import { api } from "../../api/http";
import { apiKeysQuery, keys } from "../../api/queries";
import type { ApiKey, NewApiKey } from "../../api/types";
import { Page } from "../../app/Page";
import { date } from "../../lib/format";
import { Button, Dialog, Empty, Loaded, ProblemView, SelectField, TextField, uiCss, useCopy, When } from "../../ui";
import { useToasts } from "../../ui/toasts";
import css from "./Keys.module.css";
import { scopeList, scopeWords, ScopesField, type Scopes } from "./ScopesField";

const DAY_S = 86_400;
const EXPIRIES: [string, string][] = [
  ["", "never"],
  [String(30 * DAY_S), "after 30 days"],
  [String(90 * DAY_S), "after 90 days"],
  [String(365 * DAY_S), "after a year"],
];

export default function Keys() {
  const apiKeys = useQuery(apiKeysQuery);
  const [search, setSearch] = useSearchParams();
  const revoke = useRevoke();
  const open = () => setSearch({ new: "1" });
  return (
    <Page
      title="API keys"
      lead={
        <>
          A program acts as you with a key. Everything this page can do, the public API can:{" "}
          <a href="/openapi.json">its description</a>.
        </>
      }
      actions={
        apiKeys.data?.items.length !== 0 && (
          <Button look="primary" icon="plus" onClick={open}>
            Make a key
          </Button>
        )
      }
    >
      <Loaded of={apiKeys} waiting="Fetching the keys…">
        {({ items }) => {
          return items.length === 0 ? (
            <Empty
              title="No program acts for you yet"
              actions={
                <Button look="primary" onClick={open}>
                  Make a key
                </Button>
              }
            >
              Make a key, put it in your program’s environment, and send it as <code>Authorization: Bearer …</code>. You
              can take it away at any time.
            </Empty>
          ) : (
            <div className={uiCss.scroll}>
              <table className={`${uiCss.table} ${css.list}`}>
                <thead>
                  <tr>
                    <th>Name</th>
                    <th>Begins with</th>
                    <th>May</th>
                    <th>Made</th>
                    <th>Last used</th>
                    <th>Ends</th>
                    <th>
                      <span className="sr-only">Actions</span>
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {items.map((one) => (
                    <tr key={one.id}>
                      <td>{one.name}</td>
                      <td>
                        <code>{one.prefix}…</code>
                      </td>
                      <td data-label="May" className={css.may}>
                        {scopeWords(one.scopes)}
                      </td>
                      <td data-label="Made">
                        <When at={one.created_at} />
                      </td>
                      <td data-label="Last used">{one.last_used_at ? <When at={one.last_used_at} /> : "never"}</td>
                      <td data-label="Ends">{one.expires_at ? date(one.expires_at) : "never"}</td>
                      <td className={uiCss.num}>
                        <Button look="quiet" onClick={() => revoke(one)} aria-label={`Take away ${one.name}`}>
                          Take away
                        </Button>
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          );
        }}
      </Loaded>
      <NewKeyDialog open={search.has("new")} onClose={() => setSearch({}, { replace: true })} />
    </Page>
  );
}

function useRevoke() {
  const client = useQueryClient();
  const { later, sayProblem } = useToasts();
  return (key: ApiKey) => {
    const before = client.getQueryData(keys.apiKeys);
    client.setQueryData<{ items: ApiKey[] }>(
      keys.apiKeys,
      (old) => old && { ...old, items: old.items.filter((one) => one.id !== key.id) },
    );
    const putBack = () => client.setQueryData(keys.apiKeys, before);
    later(
      { title: `${key.name} is being taken away`, text: "Programs that use it will be refused." },
      () =>
        void api.delete(`/v1/identity/api-keys/${key.id}`).then(
          () => client.invalidateQueries({ queryKey: keys.apiKeys }),
          (error: unknown) => {
            putBack();
            sayProblem(error);
          },
        ),
      putBack,
    );
  };
}

function NewKeyDialog({ open, onClose }: { open: boolean; onClose: () => void }) {
  const client = useQueryClient();
  const { copy } = useCopy();
  const [name, setName] = useState("");
  const [expires, setExpires] = useState("");
  const [limited, setLimited] = useState(false);
  const [scopes, setScopes] = useState<Scopes>({});
  const make = useMutation({
    mutationFn: () =>
      api.post<NewApiKey>("/v1/identity/api-keys", {
        name,
        ...(expires ? { expires_in_s: Number(expires) } : {}),
        ...(limited ? { scopes: scopeList(scopes) } : {}),
      }),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.apiKeys }),
  });
  const nothing = limited && scopeList(scopes).length === 0;
  const close = () => {
    onClose();
    make.reset();
    setName("");
    setLimited(false);
    setScopes({});
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!nothing) make.mutate();
  };
  const made = make.data;
  return (
    <Dialog
      open={open}
      onClose={close}
      title={made ? "Copy it now" : "Make a key"}
      text={
        made
          ? "This is the only time that the key is shown: only a hash of it is kept."
          : "Name it after the program that will hold it."
      }
    >
      {made ? (
        <div className={css.form}>
          <code className={css.key} data-testid="key">
            {made.key}
          </code>
          <div className={css.actions}>
            <Button look="primary" icon="copy" onClick={() => void copy(made.key, "Key copied")}>
              Copy the key
            </Button>
            <Button onClick={close}>I have it</Button>
          </div>
          <pre
            className={css.example}
          >{`curl ${location.origin}/v1/billing/balance \\\n  -H "Authorization: Bearer ${made.prefix}…"`}</pre>
        </div>
      ) : (
        <form className={css.form} onSubmit={submit}>
          <TextField
            label="Name"
            required
            maxLength={100}
            placeholder="Nightly batch"
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
          <SelectField label="It ends" value={expires} onChange={(event) => setExpires(event.target.value)}>
            {EXPIRIES.map(([value, words]) => (
              <option key={value} value={value}>
                {words}
              </option>
            ))}
          </SelectField>
          <ScopesField limited={limited} onLimited={setLimited} scopes={scopes} onChange={setScopes} />
          {make.error && <ProblemView error={make.error} />}
          <div className={css.actions}>
            <Button
              type="submit"
              look="primary"
              because={nothing ? "Choose what it may, or let it do everything" : make.isPending ? "One moment" : null}
            >
              Make the key
            </Button>
          </div>
        </form>
      )}
    </Dialog>
  );
}
