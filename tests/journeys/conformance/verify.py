"""Signs and checks JWTs by PyJWT and google-auth; says what happened in JSON."""

import json
import sys

import jwt
from google.auth.transport.requests import Request
from google.oauth2 import id_token

HTTP = Request()


def fetch(audience):
    return id_token.fetch_id_token(HTTP, audience)


def sign(path):
    with open(path) as file:
        order = json.load(file)
    header = {"kid": order["kid"]}
    return jwt.encode(order["claims"], order["key"], algorithm=order["alg"], headers=header)


def check(path):
    with open(path) as file:
        order = json.load(file)
    keys = jwt.PyJWKSet.from_dict(order["keys"])

    def by_pyjwt(token):
        key = keys[jwt.get_unverified_header(token)["kid"]]
        return jwt.decode(
            token,
            key,
            algorithms=[order["alg"]],
            audience=order["audience"],
            issuer=order["issuers"],
            leeway=30,
            options={"require": ["exp", "iat", "iss", "aud", "sub"]},
        )

    def by_google_auth(token):
        issued = id_token.verify_token(
            token,
            HTTP,
            audience=order["audience"],
            certs_url=order["certs_url"],
            clock_skew_in_seconds=30,
        )
        if issued["iss"] not in order["issuers"]:
            raise ValueError("issuer")
        return issued

    def accepted(by, token):
        try:
            by(token)
            return True
        except Exception:
            return False

    programs = {"PyJWT": by_pyjwt, "google-auth": by_google_auth}
    return {
        name: [accepted(by, token) for token in order["tokens"]] for name, by in programs.items()
    }


what, argument = sys.argv[1:]
print(json.dumps({"fetch": fetch, "sign": sign, "check": check}[what](argument)))
