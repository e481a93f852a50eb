"""A real browser without a window, driven by its DevTools protocol. Its absence fails tests, it skips none."""

import asyncio
import json
import shutil
import subprocess
import time
from urllib.request import urlopen

from tornado.websocket import websocket_connect

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 60
"""Seconds that a busy machine may take to start it or to answer."""
KEYS = {"Tab": 9, "Enter": 13, " ": 32}


class Browser:
    """A context manager around one page. It finds no network: every host name is unknown to it."""

    def __init__(self, folder):
        program = next(filter(None, map(shutil.which, NAMES)), None)
        assert program, f"the tests open reports in a browser, and there is no {' or '.join(NAMES)}; run: make chromium"
        self._arguments = [
            *(program, "--headless", "--hide-scrollbars", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-port=0", f"--user-data-dir={folder}"),
            "about:blank",
        ]
        self._port = folder / "DevToolsActivePort"
        self._loop = asyncio.new_event_loop()
        self._last, self.events = 0, []

    def __enter__(self):
        self._process = subprocess.Popen(self._arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self._begin()
        except BaseException:
            self._process.terminate()
            raise
        return self

    def _begin(self):
        deadline = time.monotonic() + PATIENCE
        while not (self._port.is_file() and self._port.read_text().strip()):
            assert time.monotonic() < deadline, "the browser does not start"
            time.sleep(0.05)
        port = self._port.read_text().split()[0]
        with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=PATIENCE) as answer:
            target = next(entry for entry in json.load(answer) if entry["type"] == "page")
        self._socket = self._loop.run_until_complete(self._connected(target["webSocketDebuggerUrl"]))
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.do(f"{domain}.enable")

    def __exit__(self, *error):
        self._socket.close()
        self._process.terminate()
        self._process.wait(PATIENCE)
        self._loop.close()

    def do(self, method, **parameters):
        """Call the protocol; what happens meanwhile is kept in ``events``."""
        self._last += 1
        message = json.dumps({"id": self._last, "method": method, "params": parameters})
        self._loop.run_until_complete(self._said(message))
        while True:
            answer = self._heard()
            if answer.get("id") == self._last:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, path):
        """Show a file, and wait until all of it is there."""
        self.events.clear()
        self.do("Page.navigate", url=path.resolve().as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._heard()

    def value(self, expression):
        """What a line of JavaScript gives in the page."""
        found = self.do("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key):
        code = KEYS[key]
        text = {"Enter": "\r", " ": " "}.get(key)
        down = {"type": "keyDown" if text else "rawKeyDown", "key": key, "windowsVirtualKeyCode": code}
        self.do("Input.dispatchKeyEvent", **down, **({"text": text} if text else {}))
        self.do("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def width(self, pixels):
        self.do("Emulation.setDeviceMetricsOverride", width=pixels, height=900, deviceScaleFactor=1, mobile=False)

    async def _connected(self, url):
        return await websocket_connect(url, max_message_size=1 << 28)

    async def _said(self, message):
        await self._socket.write_message(message)

    async def _next(self):
        return await asyncio.wait_for(self._socket.read_message(), PATIENCE)

    def _heard(self):
        text = self._loop.run_until_complete(self._next())
        assert text is not None, "the browser is gone"
        answer = json.loads(text)
        if "method" in answer:
            self.events.append(answer)
        return answer
