import * as RadixDialog from "@radix-ui/react-dialog";
import { Command } from "cmdk";
import { useRef } from "react";
import type { Tool } from "../../../api/types";
import { fieldsOf, initialValues } from "../../../lib/schema";
import { Icon, uiCss } from "../../../ui";
import { ToolThumb } from "../../../ui/ToolMedia";
import { toolSentence, toolTitle } from "../../studio/tools";
import { useOpen, useSelected } from "../context";
import { inputsOf, landing, OUT, portsOf, type Media, type Port } from "../doc/ports";
import { freeBelow } from "../doc/place";
import { SIZES, type BoardNode, type NodeKind } from "../doc/types";
import { KIND_ICONS, KIND_WORDS } from "../words";
import { editText } from "./NodeText";
import css from "./palette.module.css";

export interface AddAt {
  at: { x: number; y: number };
  screen: { x: number; y: number };
  /** Pulled out of a port: what is added gets fed by it. */
  from?: { node: string; media: Media | null };
}

/** From a node's top to its first port: what was pulled meets it there. */
const FIRST_PORT_PX = 28;
const PALETTE_W = 340;
const PALETTE_H = 420;

const PIECES: { kind: NodeKind; text: string; takes: readonly Media[] }[] = [
  { kind: "image", text: "Of the library", takes: [] },
  { kind: "video", text: "Of the library", takes: [] },
  { kind: "audio", text: "Of the library", takes: [] },
  { kind: "shot", text: "A place in the film", takes: ["image", "video", "audio"] },
  { kind: "prompt", text: "Words for a tool", takes: [] },
  { kind: "note", text: "For whoever comes here", takes: [] },
  { kind: "group", text: "A frame that moves what is in it", takes: [] },
];

/** Adds a node where the pointer is; after a line was pulled out of a port, only what takes it. */
export function AddPalette({
  where,
  onClose,
  onAdded,
}: {
  where: AddAt;
  onClose: () => void;
  onAdded: (id: string) => void;
}) {
  const { board, facts, tools, bring } = useOpen();
  const { selected } = useSelected();
  const file = useRef<HTMLInputElement>(null);
  const media = where.from?.media ?? null;
  const fits = tools.filter((tool) => !where.from || landing(media, portsOf(tool.input), new Set()));
  const add = (kind: NodeKind, params?: Record<string, unknown>) => {
    board.step();
    const from = where.from?.node ?? (selected.length === 1 ? selected[0] : undefined);
    const source = from ? board.node(from) : undefined;
    const makes = source ? facts.of(source.id).makes : null;
    const ports = inputsOfNew(
      kind,
      tools.find((tool) => tool.name === params?.tool),
    );
    const port = landing(makes, ports, new Set());
    const at = where.from
      ? { x: where.at.x, y: where.at.y - FIRST_PORT_PX }
      : source && port
        ? beside(board.nodes, source, SIZES[kind])
        : { x: where.at.x - SIZES[kind].w / 2, y: where.at.y - SIZES[kind].h / 2 };
    const id = board.addNode({ kind, ...at, ...(params ? { params } : {}) });
    if (source && port) board.connect(source.id, OUT, id, port.name);
    onAdded(id);
    onClose();
    if (kind === "prompt" || kind === "note") editText(id);
  };
  const left = Math.max(8, Math.min(where.screen.x, innerWidth - PALETTE_W - 8));
  const top = Math.max(8, Math.min(where.screen.y, innerHeight - PALETTE_H - 8));
  return (
    <RadixDialog.Root open onOpenChange={(open) => !open && onClose()}>
      <RadixDialog.Portal>
        <RadixDialog.Overlay className={css.shade} />
        <RadixDialog.Content className={css.palette} style={{ left, top }} aria-describedby={undefined}>
          <RadixDialog.Title className="sr-only">Add to the board</RadixDialog.Title>
          <Command label="Add to the board" loop>
            <Command.Input
              className={css.find}
              placeholder={where.from ? "What should it become?" : "Add a tool, a prompt, a shot…"}
            />
            <Command.List className={css.list}>
              <Command.Empty className={css.none}>Nothing of that name.</Command.Empty>
              {fits.length > 0 && (
                <Command.Group heading="Tools" className={css.group}>
                  {fits.map((tool) => (
                    <Command.Item
                      key={tool.name}
                      value={`${toolTitle(tool)} ${tool.name} ${toolSentence(tool)}`}
                      className={css.item}
                      onSelect={() => add("tool", newToolParams(tool))}
                    >
                      <span className={css.picture}>
                        <ToolThumb tool={tool} />
                      </span>
                      <span className={css.words}>
                        <b>{toolTitle(tool)}</b>
                        <small>{toolSentence(tool)}</small>
                      </span>
                    </Command.Item>
                  ))}
                </Command.Group>
              )}
              <Command.Group heading="Pieces" className={css.group}>
                {!where.from && (
                  <Command.Item
                    value="Photograph clip sound file upload"
                    className={css.item}
                    onSelect={() => file.current?.click()}
                  >
                    <span className={css.picture}>
                      <Icon name="upload" />
                    </span>
                    <span className={css.words}>
                      <b>Photograph, clip or sound</b>
                      <small>From this machine</small>
                    </span>
                  </Command.Item>
                )}
                {PIECES.filter((one) => !where.from || (media && one.takes.includes(media))).map((one) => (
                  <Command.Item
                    key={one.kind}
                    value={`${KIND_WORDS[one.kind]} ${one.text}`}
                    className={css.item}
                    onSelect={() => add(one.kind)}
                  >
                    <span className={css.picture}>
                      <Icon name={KIND_ICONS[one.kind]} />
                    </span>
                    <span className={css.words}>
                      <b>{KIND_WORDS[one.kind]}</b>
                      <small>{one.text}</small>
                    </span>
                  </Command.Item>
                ))}
              </Command.Group>
            </Command.List>
          </Command>
          <input
            ref={file}
            type="file"
            hidden
            multiple
            accept="image/*,video/*,audio/*"
            className={uiCss.input}
            onChange={(event) => {
              bring([...(event.target.files ?? [])], where.at);
              onClose();
            }}
          />
        </RadixDialog.Content>
      </RadixDialog.Portal>
    </RadixDialog.Root>
  );
}

function inputsOfNew(kind: NodeKind, tool: Tool | undefined): readonly Port[] {
  return inputsOf({ id: "", kind, x: 0, y: 0, w: 0, h: 0, params: {}, chosenTake: null }, tool);
}

const APART_PX = 80;

/** The next free place to the right of a node: the next step of it. */
function beside(nodes: readonly BoardNode[], of: BoardNode, size: { w: number; h: number }): { x: number; y: number } {
  return freeBelow(nodes, { x: of.x + of.w + APART_PX, y: of.y }, size);
}

/** A tool's node begins with what its form begins with, and with the version that the person saw. */
export function newToolParams(tool: Tool): Record<string, unknown> {
  return { tool: tool.name, version: tool.version, input: initialValues(fieldsOf(tool.input)) };
}
