import type { JsonSchema } from "../api/types";
import { credits, creditWord, humanise } from "./format";

/** One line of a price formula, as a manifest has it. */
interface PriceLine {
  label?: string;
  amount?: number;
  times?: Record<string, unknown>[];
}
export interface PriceFormula {
  minimum?: number;
  lines?: PriceLine[];
}

const UNIT: Record<string, string> = {
  megapixels: "megapixel of",
  seconds: "second of",
  characters: "character of",
  frames: "frame of",
};

/** A price formula in words: "0.04 credits a megapixel of Picture, times Scale squared". */
export function priceWords(formula: PriceFormula, input: JsonSchema): string[] {
  const title = (name: unknown) => input.properties?.[String(name)]?.title ?? humanise(String(name));
  const lines = (formula.lines ?? []).map((line) => {
    const factors = (line.times ?? []).map((factor) => factorWords(factor, title));
    const amount = line.amount ?? 0;
    const price = `${credits(amount)} ${creditWord(amount)}`;
    return factors.length ? `${price} ${factors.join(", ")}` : `${price} to begin with`;
  });
  return formula.minimum ? [...lines, `at least ${credits(formula.minimum)} ${creditWord(formula.minimum)}`] : lines;
}

function factorWords(factor: Record<string, unknown>, title: (name: unknown) => string): string {
  const power =
    factor.power === 2 ? " squared" : typeof factor.power === "number" ? ` to the power ${factor.power}` : "";
  const [kind, of] = Object.entries(factor).find(([name]) => name !== "power") ?? ["", ""];
  const unit = UNIT[kind];
  return unit ? `a ${unit} ${title(of)}${power}` : `times ${title(of)}${power}`;
}
