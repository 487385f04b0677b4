"""Our cache in tensorflow_hub's eyes: what `mobilenet fetch` downloaded, it finds with the server gone.
Called by check.py.
"""

import http.server
import os
import pathlib
import subprocess
import tarfile
import threading

import tensorflow_hub


class Archive(http.server.BaseHTTPRequestHandler):
    """One module's archive for every request."""

    body = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-tar")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_) -> None:
        pass


def check(report, mobilenet, folder: pathlib.Path, scratch: pathlib.Path) -> None:
    archive, cache = scratch / "served.tar.gz", scratch / "hub-cache"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, ".")
    handler = type("Served", (Archive,), {"body": archive.read_bytes()})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        handle = f"http://127.0.0.1:{server.server_port}/served/1.tar.gz"
        done = subprocess.run([mobilenet, "fetch", "--cache-dir", cache, handle], capture_output=True, text=True)
        server.shutdown()
    if done.returncode:
        return report.check("cache", False, done.stderr.strip()[-300:])
    os.environ["TFHUB_CACHE_DIR"] = str(cache)
    try:
        found = pathlib.Path(tensorflow_hub.resolve(handle))
    except Exception as error:  # whatever it makes of a folder that it does not know
        return report.check("cache", False, str(error))
    finally:
        del os.environ["TFHUB_CACHE_DIR"]
    same = (found / "saved_model.pb").read_bytes() == (folder / "saved_model.pb").read_bytes()
    report.check("cache", same, f"tensorflow_hub finds {found.relative_to(cache)} without the server")
