import { useEffect, useRef, useState } from "react";
import { Icon } from "../../ui";
import css from "./Studio.module.css";

/** Takes files wherever in the window they are let go, and from the clipboard. */
export function DropAnywhere({ onFiles, children }: { onFiles: (files: FileList) => void; children: React.ReactNode }) {
  const [over, setOver] = useState(false);
  const current = useRef(onFiles);
  current.current = onFiles;
  useEffect(() => {
    let depth = 0;
    const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    const enter = (event: DragEvent) => {
      if (!carriesFiles(event)) return;
      depth += 1;
      setOver(true);
    };
    const leave = () => {
      depth = Math.max(0, depth - 1);
      if (depth === 0) setOver(false);
    };
    const move = (event: DragEvent) => carriesFiles(event) && event.preventDefault();
    const drop = (event: DragEvent) => {
      depth = 0;
      setOver(false);
      if (!event.dataTransfer?.files.length) return;
      event.preventDefault();
      current.current(event.dataTransfer.files);
    };
    const paste = (event: ClipboardEvent) => {
      if (event.clipboardData?.files.length) current.current(event.clipboardData.files);
    };
    const stop = new AbortController();
    const { signal } = stop;
    addEventListener("dragenter", enter, { signal });
    addEventListener("dragleave", leave, { signal });
    addEventListener("dragover", move, { signal });
    addEventListener("drop", drop, { signal });
    addEventListener("paste", paste, { signal });
    return () => stop.abort();
  }, []);
  return (
    <>
      {children}
      {over && (
        <div className={css.dropping}>
          <p>
            <Icon name="upload" size={20} /> Let go anywhere
          </p>
        </div>
      )}
    </>
  );
}
