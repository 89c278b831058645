"""Gets and checks ID tokens by google-auth's public functions; says what happened in JSON."""

import json
import os
import sys

from google.auth import compute_engine
from google.auth.transport.requests import AuthorizedSession, Request
from google.oauth2 import id_token, service_account


def fetch(url):
    return id_token.fetch_id_token(HTTP, url)


def call(url):
    headers = {"Authorization": f"Bearer {fetch(url)}"}
    return {"status": HTTP(url, headers=headers).status}


def session(url):
    key = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    if key:
        load = service_account.IDTokenCredentials.from_service_account_file
        credentials = load(key, target_audience=url)
    else:
        credentials = compute_engine.IDTokenCredentials(
            HTTP, target_audience=url, use_metadata_identity_endpoint=True
        )
    return {"status": AuthorizedSession(credentials).get(url).status_code}


def verify(url, x509, jwk):
    token = fetch(url)
    forged = token[:-8] + ("AAAAAAAA" if token[-8:] != "AAAAAAAA" else "BBBBBBBB")

    def check(token, audience, certs):
        return id_token.verify_token(token, HTTP, audience=audience, certs_url=certs)

    def refusals(certs):
        tries = {"audience": (token, "https://somebody.else"), "signature": (forged, url)}
        return [why for why, (it, audience) in tries.items() if refuses(it, audience, certs)]

    def refuses(it, audience, certs):
        try:
            check(it, audience, certs)
            return False
        except Exception as error:
            # A refusal, and not an accident on the way to one.
            return any(word in str(error).lower() for word in ("audience", "signature"))

    certs = {"x509": x509, "jwk": jwk}
    verdicts = {form: check(token, url, at) for form, at in certs.items()}
    verdicts["refused"] = {form: refusals(at) for form, at in certs.items()}
    return verdicts


HTTP = Request()

what, url, x509, jwk = sys.argv[1:]
if what == "verify":
    said = verify(url, x509, jwk)
else:
    said = {"fetch_id_token": call, "session": session}[what](url)
print(json.dumps(said))
