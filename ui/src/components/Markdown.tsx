import { memo, useLayoutEffect, useRef, useState } from "react";
import { CodeFrames } from "../lib/codeFrame";
import { type HtmlBlock, MarkdownText } from "../lib/markdown";
import { CodeBlock } from "./CodeBlock";

const Html = memo(function Html({ block }: { block: HtmlBlock }) {
  const root = useRef<HTMLDivElement>(null);
  const [frames] = useState(() => new CodeFrames());
  // The code within (in a list, in a quote) is put into frames whenever the HTML is another.
  useLayoutEffect(() => {
    if (root.current !== null && block.html.toString().includes("<pre>")) {
      frames.dress(root.current);
    }
  }, [block, frames]);
  // biome-ignore lint/security/noDangerouslySetInnerHtml: it is a TrustedHTML that DOMPurify made
  return <div className="html" ref={root} dangerouslySetInnerHTML={{ __html: block.html }} />;
});

/** An answer's text. What has not changed since the last update is not touched. */
export const Markdown = memo(function Markdown(props: { text: string; isGrowing: boolean }) {
  const [text] = useState(() => new MarkdownText());
  const blocks = text.update(props.text, props.isGrowing);
  return (
    <div className="markdown">
      {blocks.map((block, place) =>
        block.kind === "code" ? (
          // biome-ignore lint/suspicious/noArrayIndexKey: a block is its place in the text
          <CodeBlock key={place} text={block.text} tag={block.tag} />
        ) : (
          // biome-ignore lint/suspicious/noArrayIndexKey: a block is its place in the text
          <Html key={place} block={block} />
        ),
      )}
    </div>
  );
});
