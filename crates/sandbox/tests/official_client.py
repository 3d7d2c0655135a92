"""Runs the official HubSpot client against the simulator: search, a batch update with a 207, a create
conflict, owners, tasks. Called by the integration test with the base URL and a token."""

import sys
import time

from hubspot import HubSpot
from hubspot.crm.associations.v4 import AssociationSpec
from hubspot.crm.contacts import (
    BatchInputSimplePublicObjectBatchInput,
    BatchReadInputSimplePublicObjectId,
    Filter,
    FilterGroup,
    PublicObjectSearchRequest,
    SimplePublicObjectBatchInput,
    SimplePublicObjectId,
    SimplePublicObjectInput,
    SimplePublicObjectInputForCreate,
)
from hubspot.crm.contacts.exceptions import ApiException
from hubspot.crm.objects.tasks import SimplePublicObjectInputForCreate as TaskInput

URL, TOKEN = sys.argv[1], sys.argv[2]


def at_simulator(api):
    """The client has no option for the host; every generated API carries its own configuration."""
    api.api_client.configuration.host = URL
    return api


client = HubSpot(access_token=TOKEN)
contacts = at_simulator(client.crm.contacts.basic_api)
batch = at_simulator(client.crm.contacts.batch_api)
search = at_simulator(client.crm.contacts.search_api)
owners = at_simulator(client.crm.owners.owners_api)
tasks = at_simulator(client.crm.objects.tasks.basic_api)
links = at_simulator(client.crm.associations.v4.basic_api)

# Owners: the active one and the one who left.
page = owners.get_page(limit=100, archived=False)
assert [owner.email for owner in page.results] == ["ana@agency.example"], page
gone = owners.get_page(limit=100, archived=True)
assert gone.results[0].archived and gone.results[0].user_id is None, gone
owner = page.results[0].id

# Create, then the conflict.
made = contacts.create(
    SimplePublicObjectInputForCreate(
        properties={"email": "lea@acme.example", "firstname": "Lea"}, associations=[]
    )
)
assert made.properties["email"] == "lea@acme.example"
try:
    contacts.create(
        SimplePublicObjectInputForCreate(properties={"email": "lea@acme.example"}, associations=[])
    )
    raise SystemExit("the second create must be refused")
except ApiException as refused:
    assert refused.status == 409, refused.status
    assert f"Contact already exists. Existing ID: {made.id}" in refused.body, refused.body

# Change the owner, read by e-mail.
contacts.update(
    contact_id=made.id, simple_public_object_input=SimplePublicObjectInput(properties={"hubspot_owner_id": owner})
)
read = contacts.get_by_id("lea@acme.example", id_property="email", properties=["hubspot_owner_id", "jobtitle"])
assert read.id == made.id and read.properties["hubspot_owner_id"] == owner, read
assert read.properties["jobtitle"] is None

# Batch update: one row exists, one does not.
answer = batch.update(
    BatchInputSimplePublicObjectBatchInput(
        inputs=[
            SimplePublicObjectBatchInput(id=made.id, properties={"jobtitle": "CTO"}),
            SimplePublicObjectBatchInput(id="999999999", properties={"jobtitle": "CTO"}),
        ]
    )
)
assert type(answer).__name__ == "BatchResponseSimplePublicObjectWithErrors", type(answer)
assert answer.num_errors == 1 and answer.errors[0].category == "OBJECT_NOT_FOUND", answer
assert answer.errors[0].context == {"ids": ["999999999"]}, answer
assert [row.id for row in answer.results] == [made.id], answer
found = batch.read(
    BatchReadInputSimplePublicObjectId(
        inputs=[SimplePublicObjectId(id=made.id)], properties=["jobtitle"], properties_with_history=[]
    )
)
assert found.results[0].properties["jobtitle"] == "CTO", found

# Search, page by page.
seen, after = [], None
while True:
    result = search.do_search(
        PublicObjectSearchRequest(
            filter_groups=[
                FilterGroup(filters=[Filter(property_name="lastmodifieddate", operator="GTE", value="0")])
            ],
            sorts=["lastmodifieddate"],
            properties=["email"],
            limit=2,
            after=after,
        )
    )
    seen += [row.id for row in result.results]
    if result.paging is None:
        break
    after = result.paging.next.after
assert len(seen) == len(set(seen)) == result.total == 4, (seen, result.total)

# A task with its association, found again through the contact.
task = tasks.create(
    TaskInput(
        properties={"hs_timestamp": str(int(time.time() * 1000)), "hs_task_subject": "Call Lea"},
        associations=[
            {
                "to": {"id": made.id},
                "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 204}],
            }
        ],
    )
)
listed = links.get_page("contacts", made.id, "tasks")
assert [row.to_object_id for row in listed.results] in ([task.id], [int(task.id)]), listed
company = at_simulator(client.crm.companies.basic_api).create(
    {"properties": {"name": "Acme", "domain": "acme.example"}, "associations": []}
)
links.create(
    "contacts",
    made.id,
    "companies",
    company.id,
    [AssociationSpec(association_category="HUBSPOT_DEFINED", association_type_id=1)],
)
types = {t.type_id for t in links.get_page("contacts", made.id, "companies").results[0].association_types}
assert types == {1, 279}, types

print("official client: ok")
