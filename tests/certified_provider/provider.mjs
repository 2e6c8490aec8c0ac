// The certified OpenID provider of npm as a process of its own; tests/accounts/certified.py starts it and speaks to it.
// It prints its port and serves until its standard input ends. PUT /test/ changes what it knows: users, skew, delays.
import { generateKeyPairSync } from "node:crypto";
import http from "node:http";

const known = { users: {}, skew: 0, delays: {} };
const clock = Date.now;
Date.now = () => clock() + known.skew * 1000;
const { default: Provider } = await import("oidc-provider");

const key = (kid, kind, options) => ({
  ...generateKeyPairSync(kind, options).privateKey.export({ format: "jwk" }), kid, use: "sig",
});
const keys = [
  key("rsa", "rsa", { modulusLength: 2048 }),
  key("ec", "ec", { namedCurve: "P-256" }),
  key("ed", "ed25519"),
];
const algorithms = ["RS256", "PS256", "ES256", "EdDSA"];
const client = (client_id, options = {}) => ({
  client_id,
  client_secret: "secret",
  redirect_uris: ["oidc-acme", "own-certified"].map((name) => `http://testserver/sso/complete/${name}/`),
  ...options,
});
const clients = [
  ...algorithms.map((id_token_signed_response_alg) => client(id_token_signed_response_alg, { id_token_signed_response_alg })),
  client("post", { token_endpoint_auth_method: "client_secret_post" }),
  client("odd", { client_secret: "a+b/c%25 :=&?'\"" }),
  client("signed-userinfo", { userinfo_signed_response_alg: "RS256" }),
];

const server = http.createServer();
server.listen(0, "localhost", () => {
  const port = server.address().port;
  const providers = Object.fromEntries(["plain", "claims"].map((name) => [name, providerAt(port, name)]));
  server.on("request", (request, response) => serve(providers, request, response));
  console.log(port);
});
process.stdin.on("end", () => process.exit()).resume();

function providerAt(port, name) {
  const provider = new Provider(`http://localhost:${port}/${name}`, {
    clients,
    jwks: { keys },
    scopes: ["openid", "email", "profile"],
    claims: { openid: ["sub", "auth_time", "amr", "acr"], email: ["email", "email_verified"], profile: ["name"] },
    cookies: { keys: ["for tests alone"] },
    enabledJWA: { idTokenSigningAlgValues: algorithms },
    features: {
      devInteractions: { enabled: false },
      jwtUserinfo: { enabled: true },
      claimsParameter: { enabled: name === "claims" },
    },
    interactions: { url: (_context, interaction) => `/${name}/test/interaction/${interaction.uid}` },
    findAccount: (_context, sub) => ({ accountId: sub, claims: () => ({ ...known.users[sub], sub }) }),
    async loadExistingGrant({ oidc }) {
      const grant = new provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
      grant.addOIDCScope("openid email profile");
      grant.addOIDCClaims(["email", "email_verified", "name"]);
      await grant.save();
      return grant;
    },
  });
  return provider;
}

async function serve(providers, request, response) {
  const [, name, ...rest] = request.url.split("/");
  if (name === "test") {
    const parts = [];
    for await (const part of request) parts.push(part);
    Object.assign(known, JSON.parse(Buffer.concat(parts)));
    return response.writeHead(204).end();
  }
  const provider = providers[name];
  if (rest[0] === "test") {
    // Logs in whom ``login_hint`` names, or refuses as it says.
    const { params } = await provider.interactionDetails(request, response);
    const [hint, error] = params.login_hint.split(":");
    const result = error ? { error } : { login: { accountId: hint, amr: ["pwd", "mfa"] } };
    return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
  }
  const path = `/${rest.join("/")}`;
  const delay = known.delays[path.split("?")[0]] ?? 0;
  request.originalUrl = request.url;
  request.url = path;
  setTimeout(() => provider.callback()(request, response), delay * 1000);
}
