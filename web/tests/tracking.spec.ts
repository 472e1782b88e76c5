import { Analytics } from "@segment/analytics-node";
import { expect, request, test } from "@playwright/test";

// The write key that scripts/test-browser gives the collector.
const WRITE_KEY = "browser-tests";

test("Segment's own client delivers to the collector through the edge", async ({ baseURL }) => {
  const client = new Analytics({ writeKey: WRITE_KEY, host: baseURL, maxRetries: 0 });
  const statuses: number[] = [];
  client.on("http_response", (response) => statuses.push(response.status));
  const errors: unknown[] = [];
  client.on("error", (error) => errors.push(error));
  client.track({ anonymousId: "device-1", event: "Clip Played", properties: { seconds: 4 } });
  client.page({ anonymousId: "device-1", name: "Studio" });
  client.screen({ anonymousId: "device-1", name: "Home" });
  client.identify({ userId: "0198c0de-0000-7000-8000-000000000001" });
  client.group({ anonymousId: "device-1", groupId: "team" });
  client.alias({ userId: "0198c0de-0000-7000-8000-000000000001", previousId: "device-1" });
  await client.closeAndFlush();
  expect(errors).toEqual([]);
  expect(statuses).toEqual([200]);
});

test("a write key in the header alone is enough, from any origin, and an unknown one is refused", async ({
  baseURL,
}) => {
  const api = await request.newContext({ baseURL });
  const send = (path: string, key: string) =>
    api.post(path, {
      headers: { authorization: `Basic ${btoa(`${key}:`)}`, origin: "https://shop.example" },
      data: { anonymousId: "device-1", event: "Clip Played", name: "Home", groupId: "g", previousId: "d" },
    });
  for (const name of ["track", "identify", "page", "screen", "group", "alias"]) {
    expect((await send(`/v1/${name}`, WRITE_KEY)).status(), name).toBe(200);
  }
  const refused = await send("/v1/track", "somebody");
  expect([refused.status(), (await refused.json()).code]).toEqual([401, "write_key_invalid"]);
});
