"""Uses the client that openapi-python-client generates from the orchestrator's document: lists tasks, creates servers, reads
the task, and gets one type of error for what is not there."""
import os
import sys
import uuid

sys.path.insert(0, os.environ["CLIENT"])

from orchestrator_client import AuthenticatedClient
from orchestrator_client.api.batches import list_batches
from orchestrator_client.api.tasks import get_task, list_tasks
from orchestrator_client.api.workflows import create_servers
from orchestrator_client.models import Error, ServersRequest

with open(os.environ["TOKEN_FILE"]) as f:
    token = f.read()
client = AuthenticatedClient(base_url=os.environ["BASE_URL"], token=token)

made = create_servers.sync(client=client, body=ServersRequest(infra="production", settings="config.k", check_mode=True), idempotency_key=str(uuid.uuid4()))
task = get_task.sync(made.data, client=client)
assert task.data.id == made.data and task.data.created_at.tzinfo is not None, task
listed = list_tasks.sync(client=client, limit=10)
assert made.data in [t.id for t in listed.data], listed
assert list_batches.sync(client=client).success
gone = get_task.sync("01997b1c-0000-7000-8000-000000000001", client=client)
assert isinstance(gone, Error) and gone.code == "task.unknown" and gone.error, gone
print(made.data)
