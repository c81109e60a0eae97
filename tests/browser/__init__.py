"""The chat page in a real browser.

A package, unlike its neighbours, so that the browser ends with it: while one is open, the main
thread belongs to Playwright's event loop, and the tests behind these have loops of their own.
"""
