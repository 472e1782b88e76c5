const PROBE_CPU_US = 30_000;
const SLOWER_MAX = 6;

/**
 * How much longer than alone a process takes here at the moment, 1 or more: what it waits for the processor while others
 * have it. A bound in time on the clock is multiplied by it, so that other programs' load does not turn a test red.
 */
export function slowness(): number {
  const began = performance.now();
  const before = process.cpuUsage();
  for (;;) {
    const { user, system } = process.cpuUsage(before);
    const spent_ms = (user + system) / 1_000;
    if (spent_ms * 1_000 >= PROBE_CPU_US) {
      return Math.min(SLOWER_MAX, Math.max(1, (performance.now() - began) / spent_ms));
    }
  }
}
