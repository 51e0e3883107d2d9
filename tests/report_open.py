#!/usr/bin/env python3
"""report_open.py: how long reports take to open in Chromium, by the wall clock, and pictures of them.

    tests/report_open.py REPORT.html...                        # ms until the page is ready: median and least of 5
    tests/report_open.py --picture=P.png [--keys=t,]] [--view=kernels] [--click=NODE] REPORT.html

Speaks the DevTools protocol through a pipe; needs nothing but Chromium. Each time is that of a new browser's first page:
from the request to open it until a frame with the graph has been drawn.
"""
# SPDX-License-Identifier: Apache-2.0
import argparse
import base64
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

READY = """new Promise(done => { const look = () => document.documentElement?.dataset.ready
  ? requestAnimationFrame(() => setTimeout(() => done(performance.now()), 0)) : setTimeout(look, 1); look(); })"""


class Browser:
    def __init__(self, width=1400, height=850):
        program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        if not program:
            sys.exit("there is no Chromium")
        self.folder = tempfile.mkdtemp()
        read_end, self.out = os.pipe()
        self.into, write_end = os.pipe()
        def pipes():  # Chromium reads from 3 and writes to 4
            os.dup2(read_end, 8), os.dup2(write_end, 9), os.dup2(8, 3), os.dup2(9, 4)
        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run",
             f"--user-data-dir={self.folder}", f"--window-size={width},{height}", "about:blank"],
            preexec_fn=pipes, close_fds=False, stderr=subprocess.DEVNULL)
        os.close(read_end), os.close(write_end)
        self.rest, self.count, self.session = b"", 0, None
        page = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]

    def message(self):
        while b"\0" not in self.rest:
            more = os.read(self.into, 1 << 16)
            if not more:
                sys.exit("Chromium has gone")
            self.rest += more
        text, self.rest = self.rest.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, **params):
        self.count += 1
        request = {"id": self.count, "method": method, "params": params}
        if self.session:
            request["sessionId"] = self.session
        os.write(self.out, json.dumps(request).encode() + b"\0")
        while True:
            m = self.message()
            if m.get("id") == self.count:
                if "error" in m:
                    sys.exit(f"{method}: {m['error']['message']}")
                return m["result"]

    def run(self, script):
        r = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in r:
            sys.exit(r["exceptionDetails"]["exception"].get("description", "the page threw"))
        return r["result"].get("value")

    def open(self, path):
        start = time.monotonic()
        self.call("Page.navigate", url="file://" + os.path.abspath(path))
        self.run(READY)
        return (time.monotonic() - start) * 1e3

    def close(self):
        self.process.terminate()
        self.process.wait()
        os.close(self.out), os.close(self.into)
        shutil.rmtree(self.folder, ignore_errors=True)


def opened(path):
    browser = Browser()
    try:
        return browser.open(path)
    finally:
        browser.close()


def picture(a, path):
    browser = Browser(*map(int, a.size.split("x")))
    try:
        browser.open(path)
        if a.view:
            browser.run(f"document.querySelector('[data-view={a.view}]').click()")
        for key in filter(None, a.keys.split(",")):
            browser.run(f"dispatchEvent(new KeyboardEvent('keydown', {{key: {json.dumps(key)}}}))")
        if a.click:
            browser.run(f"ingot.graph.select(ingot.graph.graph.nodes.findIndex(n => n.name === {json.dumps(a.click)}"
                        f" || n.k === {json.dumps(a.click)}))")
        if a.script:
            browser.run(a.script)
        time.sleep(0.5)
        faults = browser.run("ingot.errors.join('; ')")
        with open(a.picture, "wb") as f:
            f.write(base64.b64decode(browser.call("Page.captureScreenshot")["data"]))
        if a.picture.endswith(".pdf"):
            with open(a.picture, "wb") as f:
                f.write(base64.b64decode(browser.call("Page.printToPDF")["data"]))
        if faults:
            sys.exit(faults)
    finally:
        browser.close()


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("report", nargs="+")
    p.add_argument("--picture", help="file for a picture (or .pdf) of the page")
    p.add_argument("--size", default="1400x850", help="of the window")
    p.add_argument("--view", help="view to show")
    p.add_argument("--keys", default="", help="keys to press")
    p.add_argument("--click", help="node or kernel to choose")
    p.add_argument("--script", help="JavaScript to run before the picture")
    a = p.parse_args()
    for path in a.report:
        if a.picture:
            picture(a, path)
            continue
        times = [opened(path) for _ in range(5)]
        print(f"{path}: {os.path.getsize(path)} bytes, ready after {statistics.median(times):.0f} ms (least {min(times):.0f})")


main()
