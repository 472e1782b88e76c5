import { expect, type Page } from "@playwright/test";

/** Answers that a page asks for knowing that they may be a refusal: it shows what they say. */
const ASKED: readonly RegExp[] = [
  // A page that does not know whether somebody is signed in asks who it is.
  /\/v1\/identity\/me$/,
  // Who takes no part in the community yet has no profile: the answer offers a name.
  /\/v1\/profiles\/me$/,
];

/**
 * Remembers everything that a page's console complains about: what the content security policy refuses, what throws,
 * what is not found. `expectQuiet` ends a journey with it.
 */
export class Watch {
  private readonly complaints: string[] = [];

  of(page: Page, name: string): void {
    page.on("pageerror", (error) => this.complaints.push(`${name}: ${error.message}`));
    page.on("console", (message) => {
      if (message.type() !== "error" && message.type() !== "warning") return;
      const from = message.location().url;
      const refused = message.text().startsWith("Failed to load resource");
      if (refused && ASKED.some((one) => one.test(new URL(from, page.url()).pathname))) return;
      this.complaints.push(`${name}, on ${new URL(page.url()).pathname}: ${message.text()} (${from})`);
    });
  }

  /** What happened until now was meant to: an access that was just taken back is refused. */
  forgive(why: RegExp): void {
    const left = this.complaints.filter((one) => !why.test(one));
    this.complaints.splice(0, this.complaints.length, ...left);
  }

  expectQuiet(): void {
    expect(this.complaints).toEqual([]);
  }
}
