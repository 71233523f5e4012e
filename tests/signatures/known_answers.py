"""What the signers of AWS for Python make of fixed credentials and a fixed time, as JSON.

These are the passwords of IAM for RDS (botocore) and for MSK (aws-msk-iam-sasl-signer-python), without the user agent
that the latter appends after signing.
"""

import base64
import datetime
import json
import re
from unittest import mock

import botocore.auth
import botocore.credentials
import botocore.session
from aws_msk_iam_sasl_signer import MSKAuthTokenProvider

TIME = datetime.datetime(2026, 11, 24, 12, 34, 56, tzinfo=datetime.timezone.utc)
ACCESS_KEY, SECRET_KEY = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SESSION_TOKEN = "IQoJb3JpZ2luX2VjE+token/with=signs"
REGION = "eu-west-1"
HOST, PORT, USER = "db.cluster-abc.eu-west-1.rds.amazonaws.com", 6432, "web+monitor"


def rds(session_token):
    session = botocore.session.get_session()
    session.set_credentials(ACCESS_KEY, SECRET_KEY, session_token)
    client = session.create_client("rds", region_name=REGION)
    return client.generate_db_auth_token(HOST, PORT, USER, Region=REGION)


def msk(session_token):
    class Provider(botocore.credentials.CredentialProvider):
        def load(self):
            return botocore.credentials.Credentials(ACCESS_KEY, SECRET_KEY, session_token)

    token, _ = MSKAuthTokenProvider.generate_auth_token_from_credentials_provider(REGION, Provider())
    url = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    return re.sub(r"&User-Agent=[^&]*", "", url)


def main():
    def now(remove_tzinfo=True):
        return TIME.replace(tzinfo=None) if remove_tzinfo else TIME

    mock.patch.object(botocore.auth, "get_current_datetime", now).start()
    answers = {
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
        "session_token": SESSION_TOKEN,
        "region": REGION,
        "time": int(TIME.timestamp()),
        "database": f"host={HOST} port={PORT} user={USER}",
        "rds": rds(None),
        "rds_with_session": rds(SESSION_TOKEN),
        "msk": msk(None),
        "msk_with_session": msk(SESSION_TOKEN),
    }
    print(json.dumps(answers, indent=2))


main()
