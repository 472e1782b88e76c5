/** A browser refuses requests that outlive their page beyond 64 KiB in all; what is under way counts. */
const BYTES_MAX = 60 * 1024;
/** Browsers bound their number, too. */
const AT_ONCE_MAX = 8;
const BYTES_PER_CHAR_MAX = 3;

/** Which requests may go on when their page is left, so that none is refused for being one too many. */
export class Lasting {
  private bytes = 0;
  private open = 0;

  /** Room for a request with this body, until what is answered is called; `null`: there is none, it ends with the page. */
  take(body: string): (() => void) | null {
    const bytes = body.length * BYTES_PER_CHAR_MAX > BYTES_MAX ? Infinity : new TextEncoder().encode(body).length;
    if (this.bytes + bytes > BYTES_MAX || this.open >= AT_ONCE_MAX) return null;
    this.bytes += bytes;
    this.open += 1;
    return () => {
      this.bytes -= bytes;
      this.open -= 1;
    };
  }
}
