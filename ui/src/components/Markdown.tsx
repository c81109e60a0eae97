import {
  memo,
  type RefObject,
  useEffect,
  useLayoutEffect,
  useReducer,
  useRef,
  useState,
} from "react";
import { CodeFrames } from "../lib/codeFrame";
import { type HtmlBlock, MarkdownText } from "../lib/markdown";
import { Pace } from "../lib/pace";
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

/** The text to show now; what has to wait is shown soon. */
function usePaced(text: string, isGrowing: boolean, root: RefObject<HTMLElement | null>): string {
  const [pace] = useState(() => new Pace());
  const [, wake] = useReducer((times: number) => times + 1, 0);
  const shown = pace.next(text, isGrowing);
  useLayoutEffect(() => {
    if (shown === "") return;
    root.current?.getBoundingClientRect(); // its layout is the greater part of the cost
    pace.done();
  }, [shown, pace, root]);
  useEffect(() => {
    if (shown === text) return;
    const timer = setTimeout(wake, pace.rest);
    return () => clearTimeout(timer);
  }, [shown, text, pace]);
  return shown;
}

/** An answer's text. What has not changed since the last update is not touched. */
export const Markdown = memo(function Markdown(props: { text: string; isGrowing: boolean }) {
  const root = useRef<HTMLDivElement>(null);
  const [text] = useState(() => new MarkdownText());
  const shown = usePaced(props.text, props.isGrowing, root);
  const blocks = text.update(shown, props.isGrowing);
  return (
    <div className="markdown" ref={root}>
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
