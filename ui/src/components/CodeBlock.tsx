import { memo, useLayoutEffect, useRef, useState } from "react";
import { CodeFrame } from "../lib/codeFrame";

/** React keeps the place; the frame in it paints itself. */
export const CodeBlock = memo(function CodeBlock({ text, tag }: { text: string; tag: string }) {
  const place = useRef<HTMLDivElement>(null);
  const [frame] = useState(() => new CodeFrame());

  useLayoutEffect(() => place.current?.replaceChildren(frame.element), [frame]);
  useLayoutEffect(() => frame.show(text, tag), [frame, text, tag]);

  return <div ref={place} />;
});
