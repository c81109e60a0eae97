import { useEffect, useState } from "react";
import { copyText } from "../lib/copy";
import { Icon } from "./Icon";

const SAID_MS = 2000;

export function CopyButton({ text, name }: { text: string; name: string }) {
  const [said, say] = useState<string | null>(null);

  useEffect(() => {
    if (said === null) return;
    const timer = setTimeout(() => say(null), SAID_MS);
    return () => clearTimeout(timer);
  }, [said]);

  const copy = async () => say((await copyText(text)) ? "Copied" : "Not copied");

  return (
    <button type="button" className="button quiet" onClick={copy}>
      <Icon name="copy" />
      {said ?? name}
    </button>
  );
}
