// Runs the official Pipedrive client against the simulator: users, fields, records, cursors, leads, search, activities,
// webhooks, refusals. Called by the integration test with the base URL and an API token.
"use strict";

const assert = require("node:assert/strict");
const v1 = require("pipedrive/v1");
const v2 = require("pipedrive/v2");

const [url, token, access, code] = process.argv.slice(2);
const older = new v1.Configuration({ apiKey: token, basePath: `${url}/v1` });
const newer = new v2.Configuration({ apiKey: token, basePath: `${url}/api/v2` });

const persons = new v2.PersonsApi(newer);
const activities = new v2.ActivitiesApi(newer);
const leads = new v1.LeadsApi(older);

/** The body with which a call is refused: it is all that the client hands on. */
async function refusal(call) {
  try {
    await call();
  } catch (body) {
    assert.equal(body.success, false, String(body));
    return body;
  }
  throw new Error("the call must be refused");
}

async function owners() {
  const users = (await new v1.UsersApi(older).getUsers()).data;
  const ana = users.find((user) => user.email === "ana@agency.example");
  assert.ok(ana.active_flag && !ana.is_deleted);
  assert.ok(users.some((user) => !user.active_flag));
  const types = (await new v1.ActivityTypesApi(older).getActivityTypes()).data;
  assert.ok(types.some((type) => type.key_string === "call"));
  return ana.id;
}

async function records(owner) {
  const field = await new v2.PersonFieldsApi(newer).addPersonField({
    AddPersonFieldRequest: { field_name: "Usher", field_type: "varchar" },
  });
  const key = field.data.field_code;
  const made = await persons.addPerson({
    AddPersonRequest: {
      name: "Lea Laroche",
      owner_id: owner,
      emails: [{ value: "lea@acme.example", primary: true, label: "work" }],
      custom_fields: { [key]: "usher:1" },
    },
  });
  assert.equal(made.data.custom_fields[key], "usher:1");
  for (let n = 0; n < 4; n += 1) {
    await persons.addPerson({ AddPersonRequest: { name: `Person ${n}` } });
  }
  const seen = [];
  let cursor;
  do {
    const page = await persons.getPersons({ limit: 2, cursor, sort_by: "update_time", sort_direction: "asc" });
    seen.push(...page.data.map((person) => person.id));
    cursor = page.additional_data.next_cursor;
  } while (cursor);
  assert.equal(new Set(seen).size, 5);
  const changed = await persons.updatePerson({ id: made.data.id, UpdatePersonRequest: { owner_id: 1 } });
  assert.equal(changed.data.owner_id, 1);
  const wrong = await refusal(() => persons.addPerson({ AddPersonRequest: { name: 7 } }));
  assert.match(wrong.error, /name: must be a string/);
  const found = await persons.searchPersons({ term: "lea@acme.example", fields: "email", exact_match: true });
  assert.deepEqual(found.data.items.map((row) => row.item.id), [made.data.id]);
  const marked = await new v2.ItemSearchApi(newer).searchItemByField({
    term: "usher:1", entity_type: "person", field: key, match: "exact",
  });
  assert.equal(marked.data[0].item.id, made.data.id);
  return made.data.id;
}

async function leadWithTask(owner, person) {
  const made = await leads.addLead({
    AddLeadRequest: { title: "SEO", person_id: person, origin_id: "typeform:1", value: { amount: 5, currency: "EUR" } },
  });
  const id = made.data.id;
  assert.equal(made.data.origin, "API");
  assert.equal((await leads.updateLead({ id, UpdateLeadRequest: { owner_id: owner } })).data.owner_id, owner);
  const listed = await leads.getLeads({ updated_since: "2020-01-01T00:00:00Z", sort: "update_time", limit: 1 });
  assert.equal(listed.data[0].id, id);
  assert.equal(listed.additional_data.pagination.more_items_in_collection, false);
  const task = await activities.addActivity({
    AddActivityRequest: {
      subject: "Call", type: "call", owner_id: owner, lead_id: id, note: "usher:1",
      participants: [{ person_id: person, primary: true }],
    },
  });
  assert.equal(task.data.person_id, person);
  const found = await activities.getActivities({ lead_id: id, done: false });
  assert.deepEqual(found.data.map((activity) => activity.id), [task.data.id]);
  assert.equal((await leads.deleteLead({ id })).data.id, id);
  assert.match((await refusal(() => leads.getLead({ id }))).error, /lead not found/);
}

async function webhooks() {
  const api = new v1.WebhooksApi(older);
  const made = await api.addWebhook({
    AddWebhookRequest: {
      subscription_url: "https://usher.example/hook", event_action: "*", event_object: "lead", name: "usher",
      http_auth_user: "usher", http_auth_password: "secret", version: "2.0",
    },
  });
  assert.equal((await api.getWebhooks()).data[0].id, made.data.id);
  await api.deleteWebhook({ id: made.data.id });
  assert.deepEqual((await api.getWebhooks()).data, []);
}

async function tokens() {
  const stranger = new v2.PersonsApi(new v2.Configuration({ apiKey: "wrong", basePath: `${url}/api/v2` }));
  assert.equal((await refusal(() => stranger.getPersons())).errorCode, 401);
  const bearer = new v1.UsersApi(new v1.Configuration({ accessToken: access, basePath: `${url}/v1` }));
  assert.equal((await bearer.getCurrentUser()).data.email, "ana@agency.example");
}

async function consent() {
  const oauth = new v2.OAuth2Configuration({
    clientId: "pipedrive-app", clientSecret: "pipedrive-app-secret", redirectUri: "http://127.0.0.1:8471/callback",
    host: url,
  });
  const granted = await oauth.authorize(code);
  assert.equal(granted.api_domain, url);
  const first = oauth.accessToken;
  oauth.updateToken(await oauth.tokenRefresh());
  assert.notEqual(oauth.accessToken, first);
  const api = new v2.PersonsApi(new v2.Configuration({ accessToken: oauth.getAccessToken, basePath: oauth.basePath }));
  assert.equal((await api.getPersons()).data.length, 5);
}

async function main() {
  const owner = await owners();
  const person = await records(owner);
  await leadWithTask(owner, person);
  await webhooks();
  await tokens();
  await consent();
  console.log("official client: ok");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
