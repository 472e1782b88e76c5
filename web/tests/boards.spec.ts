import AxeBuilder from "@axe-core/playwright";
import { expect, test, type Browser, type Page } from "@playwright/test";
import { addTool, bringToBoard, newBoard, node, openBoard, sameOrigin } from "./boards";
import { slowness } from "./machine";
import { PHOTO, signUp } from "./studio";

const TAKE_MS = 90_000;

test("from an empty board to a film", async ({ page }) => {
  test.setTimeout(300_000);
  await signUp(page);
  await page.getByRole("link", { name: "Boards", exact: true }).first().click();
  await expect(page.getByRole("heading", { name: "From one photograph to a film" })).toBeVisible();
  await page.getByRole("button", { name: "Make the first board" }).click();
  await expect(page.getByRole("heading", { name: "An empty board" })).toBeVisible();

  await test.step("a photograph, and a tool that is fed by it", async () => {
    await bringToBoard(page);
    await addTool(page, "Animate");
    await expect(page.locator(".react-flow__edge")).toHaveCount(1);
    await page.getByRole("spinbutton", { name: /Length/ }).fill("1");
  });

  await test.step("the price stands on the button before anything is spent", async () => {
    const run = page.getByTestId("run-board");
    await expect(run).toHaveText(/Run 1 stale\s*[\d.]+ credits?\s*about/);
    await run.click();
    await expect(node(page, "Animate")).toContainText("1 take", { timeout: TAKE_MS });
    await expect(run).toHaveText(/All up to date/);
  });

  await test.step("a change makes it stale; the second take stands beside the first", async () => {
    await page.getByRole("radio", { name: "Pan left" }).check();
    const run = page.getByTestId("run-board");
    await expect(run).toHaveText(/Run 1 stale/);
    await expect(node(page, "Animate")).toContainText("Stale");
    await run.click();
    await expect(node(page, "Animate")).toContainText("2 takes", { timeout: TAKE_MS });
    await page.getByRole("button", { name: "Compare" }).click();
    await expect(page.getByRole("slider", { name: /Compare: Take 1 to the left, Take 2 to the right/ })).toBeVisible();
    await page.getByRole("button", { name: "Choose take 1" }).click();
    await expect(page.getByRole("button", { name: "Take 1, chosen" })).toBeVisible();
  });

  await test.step("into the film, in order", async () => {
    await page.getByRole("button", { name: "Add to the film" }).click();
    await page.getByRole("button", { name: "Storyboard" }).click();
    await page.getByRole("button", { name: "Put rocket.jpg in the film" }).click();
    await expect(page.getByText("2 shots · 0:04.0")).toBeVisible();
    await page.getByRole("button", { name: /^Shot 2: rocket/ }).focus();
    await page.keyboard.press("Alt+ArrowLeft");
    await expect(page.getByRole("button", { name: /^Shot 1: rocket/ })).toBeVisible();
    await page.getByRole("button", { name: "Cut" }).click();
    await expect(page.getByText("2 shots · 0:03.5")).toBeVisible();
  });

  await test.step("on the timeline: trim by keys, play by keys", async () => {
    await page.getByRole("button", { name: "Timeline" }).click();
    const clip = page.getByRole("button", { name: /^Clip 1: rocket/ });
    await clip.focus();
    for (let step = 0; step < 10; step += 1) await page.keyboard.press("Shift+ArrowLeft");
    await expect(clip).toHaveAccessibleName(/0:02\.0 long/);
    await page.keyboard.press("k");
    await expect(page.getByRole("button", { name: "Pause" })).toBeVisible();
    await expect
      .poll(() => page.getByRole("slider", { name: "Place in the film" }).inputValue().then(Number))
      .toBeGreaterThan(300);
    await page.keyboard.press("k");
    await page.keyboard.press("End");
    await expect(page.getByText(/take 1/)).toBeVisible();
  });

  await test.step("the film is made, shown and kept", async () => {
    await page.getByRole("button", { name: "Film", exact: true }).click();
    await page.getByLabel("Size").selectOption("720p");
    const order = page.getByRole("button", { name: /Export the film · [\d.]+ credits?/ });
    await expect(order).not.toHaveAttribute("aria-disabled", "true");
    await order.click();
    const film = page.getByTestId("film");
    await expect(film).toBeVisible({ timeout: 120_000 });
    await expect.poll(() => film.evaluate((video: HTMLVideoElement) => video.duration)).toBeGreaterThan(2);
  });

  await test.step("among the boards it stands under how its film begins", async () => {
    await page.goto("/boards");
    const cover = page.getByRole("link", { name: "Untitled board" }).locator("img");
    await expect.poll(() => cover.evaluate((image: HTMLImageElement) => image.naturalWidth)).toBeGreaterThan(0);
  });
});

test("keys: undo, redo, duplicate, delete, and arrows", async ({ page }) => {
  await signUp(page);
  const id = await newBoard(page, "Keys", [
    { op: "add_node", id: "a", kind: "note", x: 0, y: 0, params: { text: "first" } },
    { op: "add_node", id: "b", kind: "prompt", x: 400, y: 0, params: { prompt: "a lamp" } },
  ]);
  await openBoard(page, id, "canvas");
  await node(page, "first").click();
  await page.keyboard.press("Control+d");
  await expect(page.locator(".react-flow__node")).toHaveCount(3);
  await page.keyboard.press("Control+z");
  await expect(page.locator(".react-flow__node")).toHaveCount(2);
  await page.keyboard.press("Control+Shift+Z");
  await expect(page.locator(".react-flow__node")).toHaveCount(3);
  await page.keyboard.press("Control+a");
  await expect(page.getByRole("complementary", { name: "3 chosen" })).toBeVisible();
  await page.keyboard.press("Delete");
  await expect(page.getByRole("heading", { name: "An empty board" })).toBeVisible();
  await page.keyboard.press("Control+z");
  await expect(page.locator(".react-flow__node")).toHaveCount(3);
  await node(page, "a lamp").click();
  const before = await node(page, "a lamp").boundingBox();
  await page.keyboard.press("Shift+ArrowRight");
  await expect.poll(async () => (await node(page, "a lamp").boundingBox())?.x).toBeGreaterThan(before?.x ?? 0);
});

test("in the middle of a gesture, things are where one sees them", async ({ page }) => {
  await signUp(page);
  const id = await newBoard(page, "Gestures", [
    { op: "add_node", id: "left", kind: "note", x: 0, y: 0, w: 240, h: 160, params: { text: "Left" } },
    { op: "add_node", id: "right", kind: "note", x: 600, y: 0, w: 240, h: 160, params: { text: "Right" } },
  ]);
  await openBoard(page, id, "canvas");
  const left = page.locator('[data-id="left"]');
  await expect(left).toBeVisible();
  const place = async () => (await left.boundingBox()) ?? { x: 0, y: 0, width: 0, height: 0 };
  await page.mouse.move(700, 600);
  const [before, wheel] = [await place(), 40];
  await page.mouse.wheel(0, -wheel);
  await expect.poll(async () => (await place()).y).toBeGreaterThan(before.y);

  // The press comes while the board is still a picture that was moved.
  await page.keyboard.down("Control");
  await page.mouse.wheel(0, 40);
  await page.keyboard.up("Control");
  const seen = await place();
  await page.mouse.move(seen.x + 40, seen.y + 40);
  await page.mouse.down();
  // A press is a drag from the second pixel on, and what is dragged moves from there.
  await page.mouse.move(seen.x + 42, seen.y + 42);
  await page.mouse.move(seen.x + 142, seen.y + 92, { steps: 5 });
  await page.mouse.up();
  await expect.poll(async () => Math.round((await place()).x - seen.x)).toBe(100);
  expect(Math.round((await place()).y - seen.y)).toBe(50);

  await page.keyboard.down("Control");
  await page.mouse.wheel(0, 40);
  await page.keyboard.up("Control");
  await page.mouse.move(900, 700);
  await page.mouse.wheel(30, 30);
  await page.mouse.dblclick(900, 700);
  await page.getByRole("option", { name: /^Note/ }).click();
  const note = page.locator(".react-flow__node-note").filter({ has: page.locator("textarea") });
  const box = await note.boundingBox();
  if (!box) throw new Error("nothing was put down");
  expect(Math.abs(box.x + box.width / 2 - 900)).toBeLessThan(3);
  expect(Math.abs(box.y + box.height / 2 - 700)).toBeLessThan(3);
});

test("what does not fit is refused in words, and a circle is", async ({ page }) => {
  await signUp(page);
  const id = await newBoard(page, "Refused", [
    { op: "add_node", id: "p", kind: "prompt", x: 0, y: 0, w: 280, h: 136, params: { prompt: "a lamp" } },
    { op: "add_node", id: "t", kind: "tool", x: 480, y: 0, w: 280, h: 190, params: { tool: "upscale", input: {} } },
  ]);
  await openBoard(page, id, "canvas");
  await drag(page, ".react-flow__node-prompt .react-flow__handle.source", ".react-flow__node-tool");
  await expect(page.getByText(/takes a picture; this makes a text|takes a picture; this makes text/)).toBeVisible();
  await expect(page.locator(".react-flow__edge")).toHaveCount(0);
  await expect(page.getByTestId("run-board")).toHaveAttribute("aria-disabled", "true");
});

async function drag(page: Page, from: string, to: string) {
  const source = await page.locator(from).first().boundingBox();
  const target = await page.locator(to).first().boundingBox();
  if (!source || !target) throw new Error("nothing to drag");
  await page.mouse.move(source.x + source.width / 2, source.y + source.height / 2);
  await page.mouse.down();
  await page.mouse.move(target.x + target.width / 2, target.y + target.height / 2, { steps: 8 });
  await page.mouse.up();
}

/** A board of one person, open for another over a link. */
async function twoOnABoard(browser: Browser, role: "viewer" | "commenter" | "editor") {
  const ada = await (await browser.newContext()).newPage();
  const ben = await (await browser.newContext()).newPage();
  await signUp(ada, "Ada Oyelaran");
  await signUp(ben, "Benedikt Featherstonehaugh-Konstantinopolitanskaya");
  const id = await newBoard(ada, "Ours", [
    { op: "add_node", id: "p", kind: "prompt", x: 0, y: 0, w: 280, h: 136, params: { prompt: "a lamp" } },
  ]);
  await openBoard(ada, id, "canvas");
  await ada.getByRole("button", { name: "Share" }).click();
  await ada.getByLabel("Whoever has it").selectOption(role);
  await ada.getByRole("button", { name: "Make a link" }).click();
  const link = await ada.getByLabel("The link").inputValue();
  await ada.keyboard.press("Escape");
  await ben.goto(link);
  await expect(ben).toHaveURL(new RegExp(`/boards/${id}`));
  await expect(node(ben, "a lamp")).toBeVisible();
  return { ada, ben, id };
}

test("two people edit one board", async ({ browser }) => {
  const { ada, ben } = await twoOnABoard(browser, "editor");

  await test.step("each sees that the other is here, and their pointer", async () => {
    await expect(ada.getByRole("img", { name: /^Benedikt/ })).toBeVisible();
    await expect(ben.getByRole("img", { name: "Ada Oyelaran" })).toBeVisible();
    await ada.mouse.move(700, 420);
    await ada.mouse.move(720, 430);
    await expect(ben.getByTestId("cursor")).toContainText("Ada Oyelaran");
  });

  await test.step("what one adds is there for the other, in the time of a glance", async () => {
    await ben.getByRole("button", { name: "Note", exact: true }).click();
    await expect(ben.locator(".react-flow__node textarea:focus")).toBeVisible();
    await ben.keyboard.type("Begin with the rain");
    await expect(node(ada, "Begin with the rain")).toBeVisible();
  });

  await test.step("a guest who edits brings a picture, and both see it", async () => {
    await bringToBoard(ben);
    await ben.keyboard.press("Escape");
    for (const page of [ada, ben]) {
      const picture = node(page, "rocket.jpg").locator("img");
      await expect.poll(() => picture.evaluate((img: HTMLImageElement) => img.naturalWidth)).toBeGreaterThan(0);
    }
    await ben.keyboard.press("1");
  });

  await test.step("what a guest began to bring and stops takes no room any more", async () => {
    const reserved = async () => {
      const usage = (await (await ada.request.get("/v1/assets/usage")).json()) as { reserved_bytes: number };
      return usage.reserved_bytes;
    };
    // The bytes never arrive: as on a line that hangs.
    await ben.route("**/v1/objects/**", (route) => (route.request().method() === "PUT" ? undefined : route.continue()));
    await ben.getByTestId("board-file").setInputFiles(PHOTO);
    await expect.poll(reserved).toBeGreaterThan(0);
    await ben.getByRole("button", { name: "Stop uploading rocket.jpg" }).click();
    await expect(ben.getByRole("button", { name: "Stop uploading rocket.jpg" })).toHaveCount(0);
    await expect.poll(reserved).toBe(0);
    await ben.unroute("**/v1/objects/**");
  });

  await test.step("both write in one prompt", async () => {
    await node(ada, "a lamp").dblclick();
    await expect(ada.locator("textarea").first()).toBeFocused();
    await ada.keyboard.press("End");
    await ada.keyboard.type(" in the rain");
    await node(ben, "a lamp").dblclick();
    await expect(ben.locator("textarea").first()).toBeFocused();
    await ben.keyboard.press("Home");
    await ben.keyboard.type("tall ");
    for (const page of [ada, ben]) {
      await expect.poll(() => page.locator("textarea").first().inputValue()).toBe("tall a lamp in the rain");
    }
  });

  await test.step("undo takes back one's own", async () => {
    await ben.keyboard.press("Escape");
    await ben.mouse.click(400, 700);
    await ben.keyboard.press("Control+z");
    await expect.poll(() => ada.locator("textarea").first().inputValue()).toBe("a lamp in the rain");
  });

  await test.step("an edit crosses quickly", async () => {
    await ada.keyboard.press("Escape");
    const times: number[] = [];
    for (let round = 0; round < 20; round += 1) {
      const text = `round ${round}`;
      const seen = ben.evaluate(
        (wanted) =>
          new Promise<number>((resolve) => {
            const look = () => document.body.innerText.includes(wanted) && (seer.disconnect(), resolve(Date.now()));
            const seer = new MutationObserver(look);
            seer.observe(document.body, { subtree: true, childList: true, characterData: true });
          }),
        text,
      );
      await node(ada, /lamp|round/)
        .first()
        .dblclick();
      const area = ada.locator("textarea").first();
      const began = await area.evaluate((element: HTMLTextAreaElement, wanted) => {
        const set = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value")?.set;
        set?.call(element, wanted);
        const at = Date.now();
        element.dispatchEvent(new Event("input", { bubbles: true }));
        return at;
      }, text);
      times.push((await seen) - began);
      await ada.keyboard.press("Escape");
    }
    times.sort((a, b) => a - b);
    console.log(`from one browser's key to the other's page: p50 ${times[10]} ms, worst ${times.at(-1)} ms`);
    expect((times[10] ?? Infinity) / slowness()).toBeLessThan(250);
  });
});

test("who may only look cannot change anything, and is told what they may", async ({ browser }) => {
  const { ada, ben } = await twoOnABoard(browser, "viewer");
  await expect(ben.getByText(/You may look/)).toBeVisible();
  await expect(ben.getByRole("toolbar", { name: "Put on the board" })).toHaveCount(0);
  await expect(ben.getByTestId("run-board")).toHaveCount(0);
  await node(ben, "a lamp").dblclick();
  await expect(ben.locator(".react-flow__node textarea")).toHaveCount(0);
  await ben.keyboard.press("Delete");
  // What Ada does afterwards has arrived: so has what Ben would have done before it.
  await ada.getByRole("button", { name: "Note", exact: true }).click();
  await expect(ada.locator(".react-flow__node textarea:focus")).toBeVisible();
  await ada.keyboard.type("Still burning");
  await expect(node(ben, "Still burning")).toBeVisible();
  for (const page of [ada, ben]) expect(await node(page, "a lamp").count()).toBe(1);
});

test("comments stand beside what they are about, and can be settled", async ({ browser }) => {
  const { ada, ben } = await twoOnABoard(browser, "commenter");
  await node(ben, "a lamp").click();
  await ben.getByRole("button", { name: "Comments" }).click();
  await ben.getByLabel("Comment on Prompt").fill("Warmer, and from the left");
  await ben.getByRole("button", { name: "Comment", exact: true }).click();
  await ada.getByRole("button", { name: "Comments" }).click();
  const said = ada.getByRole("listitem").filter({ hasText: "Warmer, and from the left" });
  await expect(said).toContainText("Benedikt Featherstonehaugh-Konstantinopolitanskaya");
  await ada.getByRole("button", { name: "Settle" }).click();
  await expect(ben.getByText("Warmer, and from the left")).toHaveCount(0);
});

test("a member whose access is taken back is told so at once", async ({ browser }) => {
  const { ada, ben } = await twoOnABoard(browser, "editor");
  await ada.getByRole("button", { name: "Share" }).click();
  const began = Date.now();
  await ada.getByRole("button", { name: /Take Benedikt .* off this board/ }).click();
  await expect(ben.getByRole("alert").filter({ hasText: /taken back/ })).toBeVisible();
  console.log(`told ${Date.now() - began} ms after`);
});

test("cut off, the board says so, keeps what is changed, and sends it afterwards", async ({ page, browser }) => {
  await signUp(page);
  let through = true;
  const open = new Set<() => void>();
  await page.routeWebSocket(/\/sync/, (socket) => {
    if (!through) return socket.close({ code: 1013 });
    const server = socket.connectToServer();
    socket.onMessage((message) => server.send(message));
    server.onMessage((message) => socket.send(message));
    open.add(() => (server.close(), socket.close({ code: 1012 })));
  });
  const id = await newBoard(page, "Cut off", []);
  await openBoard(page, id, "canvas");
  through = false;
  for (const close of open) close();
  await expect(page.getByText("Not connected.")).toBeVisible();
  await page.getByRole("button", { name: "Note", exact: true }).click();
  await expect(page.locator(".react-flow__node textarea:focus")).toBeVisible();
  await page.keyboard.type("written in the dark");
  await expect(page.getByText(/kept in this page and sent/)).toBeVisible();
  through = true;
  await page.getByRole("button", { name: "Connect now" }).click();
  await expect(page.getByText("Not connected.")).toHaveCount(0);
  const state = await page.context().storageState();
  const other = await (await browser.newContext({ storageState: state })).newPage();
  await openBoard(other, id, "canvas");
  await expect(node(other, "written in the dark")).toBeVisible();
});

test("on a phone the storyboard comes first", async ({ browser }) => {
  const context = await browser.newContext({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  const page = await context.newPage();
  await signUp(page);
  const id = await newBoard(page, "Pocket", []);
  await openBoard(page, id);
  await expect(page.getByRole("region", { name: "Storyboard" })).toBeVisible();
  await expect(page.getByRole("heading", { name: "The film begins here" })).toBeVisible();
  const over = () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  expect(await over()).toBeLessThanOrEqual(0);
  for (const view of ["Canvas", "Timeline"]) {
    await page.getByRole("button", { name: view }).click();
    await expect(page.getByRole("region", { name: view })).toBeVisible();
    expect(await over(), view).toBeLessThanOrEqual(0);
  }
});

test("a board that is not there, or another's, says so", async ({ page }) => {
  await signUp(page);
  await page.goto("/boards/01935f2e-7c1a-7c3b-9b7e-2f6f0c9b51aa");
  await expect(page.getByRole("heading", { name: "There is no such board for you" })).toBeVisible();
  await expect(page.getByRole("link", { name: "board_unknown" })).toBeVisible();
  await page.getByRole("link", { name: "All boards" }).click();
  await expect(page).toHaveURL(/\/boards$/);
});

test("a board is deleted with a moment to think again", async ({ page }) => {
  await signUp(page);
  await newBoard(page, "Keep me", []);
  await page.goto("/boards");
  await page.getByRole("button", { name: "Delete Keep me" }).click();
  await expect(page.getByRole("link", { name: "Keep me" })).toHaveCount(0);
  await page.getByRole("button", { name: "Undo" }).click();
  await expect(page.getByRole("link", { name: "Keep me" })).toBeVisible();
});

for (const theme of ["dark", "light"]) {
  test(`axe finds nothing on boards, ${theme}`, async ({ page }) => {
    test.slow();
    await page.emulateMedia({ reducedMotion: "reduce" });
    await page.addInitScript((name) => localStorage.setItem("backlot.theme", name), theme);
    await signUp(page);
    const check = (what: string) => expectAccessible(page, what);
    await page.goto("/boards");
    await expect(page.getByRole("heading", { name: "From one photograph to a film" })).toBeVisible();
    await check("no boards");
    const id = await newBoard(page, "A very long name of a board that nobody can say in one breath, and more", [
      { op: "add_node", id: "p", kind: "prompt", x: 0, y: 400, params: { prompt: "a lamp" } },
      { op: "add_node", id: "n", kind: "note", x: 400, y: 400, params: { text: "a note" } },
      { op: "add_node", id: "g", kind: "group", x: -40, y: -60, w: 800, h: 360, params: { name: "Opening" } },
      { op: "add_node", id: "s", kind: "shot", x: 700, y: 400 },
      { op: "add_node", id: "t", kind: "tool", x: 400, y: 0, w: 280, h: 190, params: { tool: "animate", input: {} } },
    ]);
    await page.goto("/boards");
    await expect(page.getByRole("link", { name: /A very long name/ })).toBeVisible();
    await check("one board");
    await openBoard(page, id, "canvas");
    await bringToBoard(page);
    await check("a picture is chosen");
    await node(page, "Animate").click();
    await check("a tool is chosen");
    await page.getByRole("button", { name: "Comments" }).click();
    await expect(page.getByText(/Nobody said anything/)).toBeVisible();
    await check("comments");
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await expect(page.getByRole("combobox")).toBeFocused();
    await check("adding");
    await page.keyboard.press("Escape");
    for (const name of ["Share", "Film"]) {
      await page.getByRole("button", { name, exact: true }).click();
      await expect(page.getByRole("dialog")).toBeVisible();
      await check(name);
      await page.keyboard.press("Escape");
    }
    await page.getByRole("button", { name: "What would run, and for how much" }).click();
    await check("the plan");
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Storyboard" }).click();
    await page.getByRole("button", { name: "Put rocket.jpg in the film" }).click();
    await check("storyboard");
    await page.getByRole("button", { name: "Timeline" }).click();
    await expect(page.getByRole("button", { name: /^Clip 1/ })).toBeVisible();
    await check("timeline");
  });
}

for (const theme of ["dark", "light"]) {
  test(`axe finds nothing on boards on a phone, ${theme}`, async ({ page }) => {
    test.slow();
    await page.setViewportSize({ width: 390, height: 844 });
    await page.emulateMedia({ reducedMotion: "reduce" });
    await page.addInitScript((name) => localStorage.setItem("backlot.theme", name), theme);
    await signUp(page);
    const check = (what: string) => expectAccessible(page, what);
    const id = await newBoard(page, "A very long name of a board that nobody can say in one breath, and more", [
      { op: "add_node", id: "p", kind: "prompt", x: 0, y: 400, params: { prompt: "a lamp" } },
      { op: "add_node", id: "t", kind: "tool", x: 0, y: 0, w: 280, h: 190, params: { tool: "animate", input: {} } },
    ]);
    await page.goto("/boards");
    await expect(page.getByRole("link", { name: /A very long name/ })).toBeVisible();
    await check("boards");
    await openBoard(page, id, "canvas");
    await bringToBoard(page);
    await check("a picture is chosen");
    await page.keyboard.press("Escape");
    await openBoard(page, id, "storyboard");
    await page.getByRole("button", { name: "Put rocket.jpg in the film" }).click();
    await check("storyboard");
    await page.getByRole("button", { name: "Timeline" }).click();
    await expect(page.getByRole("button", { name: /^Clip 1/ })).toBeVisible();
    await check("timeline");
    for (const name of ["Share", "Film"]) {
      await page.getByRole("button", { name, exact: true }).click();
      await expect(page.getByRole("dialog")).toBeVisible();
      await check(name);
      await page.keyboard.press("Escape");
    }
    await page.getByRole("button", { name: "Comments" }).click();
    await expect(page.getByText(/Nobody said anything/)).toBeVisible();
    await check("comments");
  });
}

async function expectAccessible(page: Page, what: string) {
  const { violations } = await new AxeBuilder({ page }).analyze();
  const found = violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.target.join(" ")).join(" | ")}`);
  expect.soft(found, what).toEqual([]);
}

test("a board's page is there within a second", async ({ page }) => {
  await signUp(page);
  const id = await newBoard(page, "Quick", [
    { op: "add_node", id: "p", kind: "prompt", x: 0, y: 0, params: { prompt: "a lamp" } },
  ]);
  const times: number[] = [];
  const slower = slowness();
  for (let round = 0; round < 5; round += 1) {
    await page.goto("/studio");
    const began = Date.now();
    await page.goto(`/boards/${id}?view=canvas`, { waitUntil: "commit" });
    await expect(node(page, "a lamp")).toBeVisible();
    times.push(Date.now() - began);
  }
  times.sort((a, b) => a - b);
  console.log(`a board is on the page after ${times[0]} ms (best of 5), ${times[2]} ms (median), worst ${times[4]} ms`);
  // The best of five: what is measured is the app, not what else the machine does.
  expect((times[0] ?? Infinity) / slower).toBeLessThan(1_000);
  expect((await page.request.get(`/v1/boards/${id}`, { headers: await sameOrigin(page) })).status()).toBe(200);
});
