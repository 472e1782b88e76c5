import AxeBuilder from "@axe-core/playwright";
import { fileURLToPath } from "node:url";
import { expect, test, type Page } from "@playwright/test";
import { bring, publish, word } from "./community";
import { pricedButton, signIn, signUp, STAFF } from "./studio";

/** Blurred circles, which the safety model takes for something else. */
const WITHHELD = fileURLToPath(new URL("fixtures/withheld.png", import.meta.url));
const LOOK_MS = 90_000;

interface Ended {
  id: string;
  state: string;
  phase: string | null;
  failure: { class: string } | null;
}

async function runs(page: Page): Promise<Ended[]> {
  return ((await (await page.request.get("/v1/runs")).json()) as { items: Ended[] }).items;
}

/** What became of the newest of so many runs; nothing while it goes on. */
async function became(page: Page, count: number): Promise<string> {
  const all = await runs(page);
  const [run] = all;
  if (!run || all.length !== count) return "";
  if (run.phase === "reviewing") return "moderated_output";
  return run.failure?.class ?? (run.state === "succeeded" ? run.state : "");
}

test("what the model refuses is seen by a person, who lets it pass", async ({ page, browser }) => {
  test.slow();
  await signUp(page);
  await page.getByTestId("file").setInputFiles(WITHHELD);
  await (await pricedButton(page, "Upscale")).click();
  await expect.poll(() => became(page, 1), { timeout: LOOK_MS }).toBe("moderated_input");
  await expect(page.getByText(/refused by moderation/).first()).toBeVisible();
  const [refused] = await runs(page);

  const staff = await (await browser.newContext({ reducedMotion: "reduce" })).newPage();
  await signIn(staff, STAFF.email, STAFF.password);
  await staff.goto("/moderation?of=reviews");
  const listed = staff.getByRole("list", { name: "Withheld" });
  // Nobody decides on another's: others wait here that came before.
  await listed
    .getByRole("button", { name: /Upscale, its input/ })
    .last()
    .click();
  const review = staff.getByRole("region", { name: "Upscale, its input" });
  await expect(review.getByRole("img", { name: "What was withheld" })).toBeVisible();
  await expect(review.getByText(/Passed, it may be used from now on/)).toBeVisible();
  await expect(review).toContainText(refused?.id.slice(-8) ?? "no run");
  expect((await new AxeBuilder({ page: staff }).analyze()).violations.map((one) => one.id)).toEqual([]);
  await review.getByRole("button", { name: "Look at it" }).click();
  await expect(review.getByRole("button", { name: "Blur it" })).toBeVisible();
  await staff.keyboard.press("a");
  await expect(staff.getByText("It passes", { exact: true })).toBeVisible();
  await expect
    .poll(async () => {
      const { items } = (await (await staff.request.get("/v1/reviews")).json()) as { items: { run_id: string }[] };
      return items.some((one) => one.run_id === refused?.id);
    })
    .toBe(false);
  await staff.context().close();

  // It is not refused for what goes in again. What comes out is looked at for itself.
  await (await pricedButton(page, "Upscale")).click();
  await expect.poll(() => became(page, 2), { timeout: LOOK_MS }).toMatch(/^(succeeded|moderated_output)$/);
});

test("on the way to another page no key decides anything", async ({ page, browser }) => {
  await signUp(page);
  const post = await publish(page, await bring(page), `Gantry ${word()}`);
  const other = await (await browser.newContext()).newPage();
  await signUp(other, "Li Wenzhao");
  const report = await other.request.post("/v1/reports", { data: { post_id: post.id, reason: "spam", text: "" } });
  expect(report.ok(), await report.text()).toBe(true);
  await other.context().close();

  const staff = await (await browser.newContext()).newPage();
  await signIn(staff, STAFF.email, STAFF.password);
  // Loaded as a whole, so that the queue hears of a key before the frame does.
  await staff.goto("/moderation");
  const listed = staff.getByRole("list", { name: "Reported" }).getByRole("button", { name: new RegExp(post.title) });
  await listed.click();
  // To billing; "b" alone bans.
  await staff.keyboard.press("g");
  await staff.keyboard.press("b");
  await expect(staff).toHaveURL(/\/billing$/);
  await expect(staff.getByText("Its author is banned")).toHaveCount(0);
  await staff.goBack();
  await expect(listed).toBeVisible();
  await staff.context().close();
});
