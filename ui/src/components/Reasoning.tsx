import { Markdown } from "./Markdown";

/** What the model thought before it answered: folded, for who wants to see it. */
export function Reasoning({ text, isGrowing }: { text: string; isGrowing: boolean }) {
  return (
    <details className="reasoning">
      <summary>Reasoning</summary>
      <Markdown text={text} isGrowing={isGrowing} />
    </details>
  );
}
