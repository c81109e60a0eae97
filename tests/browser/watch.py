"""What must never happen in a page, whatever is tested: seen for a whole context."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Page, Request, WebError

REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`${event.violatedDirective} refused ${event.blockedURI} ${event.sample}`));
"""
EXPECTED_OF_API = "Failed to load resource"
"""The browser's own line for each refusal and each cut of an API request, which tests provoke."""


@dataclass
class Watch:
    """Collects what went wrong in the pages of a context, and where their requests went."""

    origin: str
    requests: list[Request] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def begin(self, context: BrowserContext) -> None:
        context.add_init_script(REPORT_VIOLATIONS)
        context.on("console", self._on_console)
        context.on("weberror", self._on_error)
        context.on("request", self._on_request)
        context.on("page", self._on_page)
        context.on("dialog", self._on_dialog)

    def _on_page(self, page: Page) -> None:
        page.on("crash", lambda _: self.complaints.append("the page has crashed"))

    def _on_dialog(self, dialog: Dialog) -> None:
        self.complaints.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def _on_error(self, error: WebError) -> None:
        self.complaints.append(f"an error that nobody caught: {error.error}")

    def _on_console(self, message: ConsoleMessage) -> None:
        is_of_api = urlsplit(message.location["url"]).path.startswith(("/v1/", "/debug/"))
        if is_of_api and message.text.startswith(EXPECTED_OF_API):
            return
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text} {message.location['url']}")

    def _on_request(self, request: Request) -> None:
        self.requests.append(request)
        parts = urlsplit(request.url)
        if (
            parts.scheme not in {"data", "blob"}
            and f"{parts.scheme}://{parts.netloc}" != self.origin
        ):
            self.complaints.append(f"a request to another origin: {request.url}")

    def assert_nothing_went_wrong(self) -> None:
        assert not self.complaints, "\n".join(self.complaints)
