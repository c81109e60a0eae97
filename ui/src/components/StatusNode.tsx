/** The one node that speaks to screen readers: when an answer begins and ends, and nothing between. */
export function StatusNode({ announcement }: { announcement: string }) {
  return (
    <div role="status" className="hidden">
      {announcement}
    </div>
  );
}
