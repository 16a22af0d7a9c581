"""imds.py NODE INSTANCE INTERFACE ADDRESS: the instance's metadata, at 169.254.169.254 of its own network namespace.

Why it exists: awsvip, awseip and the playbook ask an instance who it is. Only who brings a token is answered, as AWS's
instances are launched today."""
import json
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_, instance, interface, address = sys.argv[1:5]
link = json.loads(subprocess.run(["ip", "-j", "link", "show", "eth0"], capture_output=True, check=True).stdout)
mac = link[0]["address"]
data = {
    "instance-id": instance,
    "mac": mac,
    "local-ipv4": address,
    "placement/availability-zone": "us-east-1a",
    "placement/region": "us-east-1",
    "network/interfaces/macs": mac + "/",
    f"network/interfaces/macs/{mac}/interface-id": interface,
    f"network/interfaces/macs/{mac}/local-ipv4s": address,
}


class Metadata(BaseHTTPRequestHandler):
    def answer(self, code, text=""):
        body = text.encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        wanted = self.path == "/latest/api/token" and self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        self.answer(200, "token") if wanted else self.answer(400)

    def do_GET(self):
        if self.headers.get("X-aws-ec2-metadata-token") != "token":
            return self.answer(401)
        what = data.get(self.path.removeprefix("/latest/meta-data/").rstrip("/"))
        self.answer(200, what) if what else self.answer(404)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("169.254.169.254", 80), Metadata).serve_forever()
