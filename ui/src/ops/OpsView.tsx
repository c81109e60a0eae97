export default function OpsView() {
  return (
    <main>
      <h1>Operations</h1>
      <a href="#/">Chat</a>
    </main>
  );
}
