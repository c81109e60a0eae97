const PATHS = {
  menu: "M4 7h16M4 12h16M4 17h16",
  plus: "M12 5v14M5 12h14",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM16 16l4.5 4.5",
  pencil: "M4 20l1-4L16.5 4.5a2.1 2.1 0 0 1 3 3L8 19l-4 1ZM14.5 6.5l3 3",
  trash: "M4.5 7h15M9.5 7V4.5h5V7M6.5 7l.8 12.5h9.4L17.5 7M10 10.500v6M14 10.500v6",
  send: "M12 19V5.500M6 11.500l6-6 6 6",
  stop: "M6.5 6.5h11v11h-11z",
  down: "M12 5v13.500M6 12.500l6 6 6-6",
  retry: "M19 12a7 7 0 1 1-2.1-5M19.5 3.500V8H15",
  chart: "M5 19V10M10 19V5M15 19v-6M20 19V8",
  exit: "M14 4H6v16h8M10.5 12H21M17 8l4 4-4 4",
  copy: "M9 9h10v11H9zM6 15H5V4h10v2",
} as const;

/** A picture beside a word or in a named button; never the only name. */
export function Icon({ name }: { name: keyof typeof PATHS }) {
  return (
    <svg className="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
