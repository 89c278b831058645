"""Gets one token by google-auth, so that the emulator's journal shows what it asks for."""

import json
import os
import sys

import google.oauth2.credentials
from google.auth import aws, external_account_authorized_user, iam, identity_pool, pluggable
from google.auth.transport.requests import Request
from google.oauth2 import id_token

HTTP = Request()
SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]


def access_token(path):
    with open(path) as file:
        info = json.load(file)
    source = info.get("credential_source", {})
    if info["type"] == "authorized_user":
        credentials = google.oauth2.credentials.Credentials.from_authorized_user_info(info, SCOPES)
    elif info["type"] == "external_account_authorized_user":
        credentials = external_account_authorized_user.Credentials.from_info(info)
    elif "environment_id" in source:
        credentials = aws.Credentials.from_info(info, scopes=SCOPES)
    elif "executable" in source:
        credentials = pluggable.Credentials.from_info(info, scopes=SCOPES)
    else:
        credentials = identity_pool.Credentials.from_info(info, scopes=SCOPES)
    credentials.refresh(HTTP)
    return credentials.token


what, origin, audience = sys.argv[1:]
# No variable and no file tells google-auth where these two are, so that they are assigned to.
google.oauth2.credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT = origin + "/token"
iam._IAM_IDTOKEN_ENDPOINT = origin + "/v1/projects/-/serviceAccounts/{}:generateIdToken"
if what == "id_token":
    token = id_token.fetch_id_token(HTTP, audience)
else:
    token = access_token(os.environ["GOOGLE_APPLICATION_CREDENTIALS"])
assert token
