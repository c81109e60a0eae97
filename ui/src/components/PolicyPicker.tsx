import type { ChatActions, Policy } from "../lib/types";

const WORDS: Readonly<Record<Policy, string>> = {
  interrupt: "Take over",
  rollback: "Take over and forget",
  enqueue: "Queue",
  reject: "Refuse",
};
const POLICIES = Object.keys(WORDS) as Policy[];

interface Props {
  readonly policy: Policy;
  readonly actions: ChatActions;
}

/** What a prompt does that is sent while an answer runs. */
export function PolicyPicker({ policy, actions }: Props) {
  return (
    <label className="picker">
      <span>While answering</span>
      <select
        value={policy}
        onChange={(event) => actions.choosePolicy(event.target.value as Policy)}
      >
        {POLICIES.map((name) => (
          <option key={name} value={name}>
            {WORDS[name]}
          </option>
        ))}
      </select>
    </label>
  );
}
