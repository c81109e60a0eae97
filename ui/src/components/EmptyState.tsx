const EXAMPLES = [
  "Explain structured concurrency in five sentences.",
  "Write a Python function that merges two sorted lists.",
  "Compare SQLite and PostgreSQL in a table.",
];

/** Before the first prompt: a few words, and something to begin with. */
export function EmptyState({ onAsk }: { onAsk: (text: string) => void }) {
  return (
    <div className="empty">
      <h2>Ask, and change your mind</h2>
      <p>A new prompt takes over at once, and Stop stops the model.</p>
      <ul>
        {EXAMPLES.map((example) => (
          <li key={example}>
            {/* What is clicked twice to come here (New chat, Delete) asks nothing. */}
            <button
              type="button"
              className="example"
              onClick={(event) => event.detail < 2 && onAsk(example)}
            >
              {example}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
