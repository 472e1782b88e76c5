import type { ReactNode } from "react";
import after from "../../assets/hero-after.webp";
import before from "../../assets/hero-before.webp";
import { Mark } from "../../app/Shell";
import { Compare } from "../../ui/Compare";
import css from "./auth.module.css";

const cover = { objectFit: "cover" } as const;

/** The door: the form on one side, on the other what the studio does to a photograph. */
export function AuthFrame({ children }: { children: ReactNode }) {
  return (
    <div className={css.split}>
      <main className={css.side}>
        <p className={css.mark}>
          <Mark /> Backlot
        </p>
        {children}
      </main>
      <aside className={css.show} aria-label="What upscale does to a photograph">
        <figure>
          <Compare
            start={38}
            before={<img src={before} alt="" style={{ ...cover, imageRendering: "pixelated" }} />}
            after={
              <img
                src={after}
                alt="A rocket on its pad at dusk, between lattice towers and floodlights"
                style={cover}
              />
            }
            beforeLabel="320 × 214"
            afterLabel="1280 × 856"
          />
        </figure>
        <p className={css.caption}>
          Both halves are real: the left is what went in, the right what the shipped upscale model made of it on two CPU
          cores. Photograph by SpaceX, CC0.
        </p>
      </aside>
    </div>
  );
}
