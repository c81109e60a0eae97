import type { ChatActions } from "../lib/types";

interface Props {
  readonly models: readonly string[];
  readonly model: string | null;
  readonly actions: ChatActions;
}

export function ModelPicker({ models, model, actions }: Props) {
  const offered = model === null || models.includes(model) ? models : [model, ...models];
  return (
    <label className="picker">
      <span>Model</span>
      <select
        value={model ?? ""}
        onChange={(event) => actions.chooseModel(event.target.value || null)}
      >
        <option value="">Default model</option>
        {offered.map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}
