"""Registers the Prefect blocks of this example: the bucket and the warehouse, from the environment.

Run it once. Nothing in the flows knows where the bucket and the warehouse are.
"""

from __future__ import annotations

import os

from prefect_aws import AwsClientParameters, AwsCredentials, S3Bucket
from prefect_sqlalchemy import SqlAlchemyConnector


def register() -> None:
    """Save ``taxi-lake``, an S3 bucket, and ``taxi-warehouse``, a PostgreSQL database."""
    credentials = AwsCredentials(
        aws_access_key_id=os.environ.get("AWS_ACCESS_KEY_ID", "taxi"),
        aws_secret_access_key=os.environ.get("AWS_SECRET_ACCESS_KEY", "taxi"),
        region_name=os.environ.get("AWS_REGION", "us-east-1"),
        aws_client_parameters=AwsClientParameters(endpoint_url=os.environ.get("TAXI_S3_ENDPOINT")),
    )
    bucket = S3Bucket(bucket_name=os.environ.get("TAXI_BUCKET", "taxi-lake"), credentials=credentials)
    bucket.save("taxi-lake", overwrite=True)
    warehouse = SqlAlchemyConnector(connection_info=os.environ["TAXI_WAREHOUSE"])
    warehouse.save("taxi-warehouse", overwrite=True)


if __name__ == "__main__":
    register()
