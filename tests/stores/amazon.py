"""AWS Secrets Manager as moto's server plays it: signatures are looked at, and policies once they are switched on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import httpx
from moto.server import ThreadedMotoServer

from tests.stores.base import Store

REGION = "eu-central-1"
ROOT = {"aws_access_key_id": "root", "aws_secret_access_key": "root-secret", "region_name": REGION}


class Amazon(Store):
    kind = "aws"
    logins = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")

    def __init__(self, folder: Path) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.endpoint = f"http://{host}:{port}"
        self._manager = self.client("secretsmanager")
        self.variables = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "deployer",
            "AWS_SECRET_ACCESS_KEY": "aws-login-secret",
            # Nobody is asked whether this machine is one of Amazon's; no settings of whoever runs this.
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(folder / "aws-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(folder / "aws-credentials"),
        }

    def client(self, service: str) -> Any:
        return boto3.client(service, endpoint_url=self.endpoint, **ROOT)

    def put(self, name: str, value: str) -> str:
        return self.put_as(name, SecretString=value)

    def put_as(self, name: str, **value: Any) -> str:
        try:
            self._manager.create_secret(Name=name, **value)
        except self._manager.exceptions.ResourceExistsException:
            self._manager.put_secret_value(SecretId=name, **value)
        return self.reference(name)

    def delete(self, name: str) -> None:
        """After a while, until which it can be undone."""
        self._manager.delete_secret(SecretId=name, RecoveryWindowInDays=7)

    def arn(self, name: str) -> str:
        return str(self._manager.describe_secret(SecretId=name)["ARN"])

    def reference(self, name: str) -> str:
        return f"aws:{name}"

    def at(self, address: str) -> Mapping[str, str]:
        return {"AWS_ENDPOINT_URL": f"http://{address}"}

    def refused(self) -> Mapping[str, str]:
        return self.allowed("secretsmanager:ListSecrets")

    def allowed(self, *actions: str) -> Mapping[str, str]:
        """The login of a user who may do just that. From then on policies count, for `put` as well."""
        iam, name = self.client("iam"), f"user-{'-'.join(actions).replace(':', '-')}"
        iam.create_user(UserName=name)
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]}
        iam.put_user_policy(UserName=name, PolicyName="secrets", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        self._policies_count(0)
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    def reset(self) -> None:
        """Nothing kept, and policies don't count."""
        self._policies_count(None)
        self._post("reset", b"")

    def close(self) -> None:
        self._server.stop()

    def _policies_count(self, after: int | None) -> None:
        """moto's own switch: after so many requests."""
        self._post("reset-auth", b"inf" if after is None else str(after).encode())

    def _post(self, what: str, body: bytes) -> None:
        httpx.post(f"{self.endpoint}/moto-api/{what}", content=body, timeout=10, trust_env=False).raise_for_status()
