"""Certificates made with the openssl program in a scene's folder, for servers and clients of TLS tests.

    ca = Authority(folder, "ca")
    cert, key = ca.issue("server", "DNS:localhost,IP:127.0.0.1")
"""
import os
import shutil
import subprocess

from cluster import AS_POSTGRES


def openssl(*arguments):
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RuntimeError(f"openssl {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def replace(source, target):
    """As a careful program renews a file: whoever opens it finds the old one or the new one whole."""
    shutil.copy2(source, target + ".new")
    os.replace(target + ".new", target)


class Authority:
    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.certificate, self.key = self.path("crt"), self.path("key")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", f"/CN={name}",
                "-keyout", self.key, "-out", self.certificate)

    def path(self, suffix, name=None):
        return os.path.join(self.folder, f"{name or self.name}.{suffix}")

    def issue(self, name, alternatives="", days=30, for_postgres=False):
        """Files of a certificate and its key, for `name` and the subject alternative names; negative days: it has expired."""
        certificate, key, request, extensions = (self.path(suffix, name) for suffix in ("crt", "key", "csr", "ext"))
        with open(extensions, "w") as file:
            file.write(f"subjectAltName = {alternatives}\n" if alternatives else "basicConstraints = CA:FALSE\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}", "-keyout", key,
                "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial", "-days", str(days),
                "-extfile", extensions, "-out", certificate)
        os.chmod(key, 0o600)
        if for_postgres and AS_POSTGRES:
            for file in (certificate, key):
                shutil.chown(file, "postgres", "postgres")
        return certificate, key
