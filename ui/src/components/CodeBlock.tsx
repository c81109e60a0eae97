import { memo, useLayoutEffect, useRef } from "react";
import { CodeFrame } from "../lib/codeFrame";

/** React keeps the place; the frame in it paints itself. */
export const CodeBlock = memo(function CodeBlock({ text, tag }: { text: string; tag: string }) {
  const place = useRef<HTMLDivElement>(null);
  const frame = useRef<CodeFrame>(null);

  useLayoutEffect(() => {
    const made = new CodeFrame();
    frame.current = made;
    place.current?.replaceChildren(made.element);
    return () => made.stop();
  }, []);

  useLayoutEffect(() => frame.current?.show(text, tag), [text, tag]);

  return <div ref={place} />;
});
