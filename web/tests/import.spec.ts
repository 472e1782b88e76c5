import AxeBuilder from "@axe-core/playwright";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "@playwright/test";
import { signIn, signUp, STAFF } from "./studio";

type Workflow = Record<string, { class_type: string; _meta?: { title: string }; inputs: Record<string, unknown> }>;

const WORKFLOW = fileURLToPath(new URL("../../sdk/python/tests/workflow.json", import.meta.url));
const read = async () => JSON.parse(await readFile(WORKFLOW, "utf8")) as Workflow;
const file = (name: string, workflow: Workflow) => ({
  name,
  mimeType: "application/json",
  buffer: Buffer.from(JSON.stringify(workflow)),
});

test("a workflow says everything that is missing at once; one that lacks nothing becomes a tool", async ({ page }) => {
  await signIn(page, STAFF.email, STAFF.password);
  await page.goto("/tools/import");
  const lacking = await read();
  lacking["10"] = { class_type: "IPAdapterApply", _meta: { title: "IP-Adapter" }, inputs: { image: ["8", 0] } };
  const loader = lacking["4"];
  if (!loader) throw new Error("the workflow loads a model");
  loader.inputs.ckpt_name = "juggernaut.safetensors";
  await page.getByTestId("workflow").setInputFiles(file("portrait.json", lacking));
  const way = page.getByRole("alert", { name: "What is in the way" });
  await expect(way).toContainText("IPAdapterApply");
  await expect(way).toContainText("juggernaut.safetensors");
  await expect(way).toContainText("sd15.safetensors");
  const publish = page.getByRole("button", { name: "Publish the tool" });
  await expect(publish).toHaveAttribute("aria-disabled", "true");
  await expect(page.getByLabel("Name of the tool")).toHaveValue("portrait");
  expect((await new AxeBuilder({ page }).analyze()).violations.map((one) => one.id)).toEqual([]);

  // The name goes with the file: else the second workflow would be the next version of the first.
  await page.getByTestId("workflow").setInputFiles(file("film-grain.json", await read()));
  await expect(page.getByText("The server has every node and model of it.")).toBeVisible();
  await expect(page.getByLabel("Name of the tool")).toHaveValue("film-grain");
  await page.getByLabel("Name of the tool").fill("film-grain-fine");
  await page.getByTestId("workflow").setInputFiles(file("another.json", await read()));
  await expect(page.getByLabel("Name of the tool")).toHaveValue("film-grain-fine");
  await page.getByLabel("Label").fill("Film grain");
  await publish.click();
  await expect(page).toHaveURL(/\/tools\/film-grain-fine$/);
  await expect(page.getByRole("heading", { name: "Film grain" })).toBeVisible();
});

test("who does not run the studio is told who imports", async ({ page }) => {
  await signUp(page);
  await page.goto("/tools/import");
  await expect(page.getByRole("heading", { name: "The staff of the studio imports workflows" })).toBeVisible();
});
