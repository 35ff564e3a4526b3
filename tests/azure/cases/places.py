"""Where tokens go: each cloud's own services, the registry that they are for, and nobody else."""
import json

from azure.acr import WRITER
from azure.world import TENANT

from .common import CLIENT, IDS, SECRET, application, count, docker_config, b64, judge

AUTH, SETTING, NETWORK = 77, 64, 69
SUBSCRIPTION = "eeeeeeee-0000-4000-8000-000000000001"
RESOURCE = "/subscriptions/%s/resourceGroups/my group/providers/Microsoft.ContainerRegistry/registries/testreg" % SUBSCRIPTION
PORTAL = ("https://portal.azure.%s/#view/Microsoft_Azure_ContainerRegistries/TagMetadataBlade/registryId/%%2Fsubscriptions%%2F" + SUBSCRIPTION +
          "%%2FresourceGroups%%2Fmy+group%%2Fproviders%%2FMicrosoft.ContainerRegistry%%2Fregistries%%2Ftestreg")


def with_secret(change=None, **env):
    def setup(world, runner):
        application(world)
        if change:
            change(world)
        return dict(IDS, CLIENT_SECRET=SECRET, **env)
    return setup


def at(host):
    return {"PLUGIN_REGISTRY": host, "PLUGIN_REPO": host + "/team/app"}


def cloud(suffix, authority):
    """The application of another cloud."""
    def change(world):
        world.entra.cloud_of = {TENANT: authority}
        world.registries["testreg" + suffix].roles[CLIENT] = {"*": WRITER}
    return with_secret(change, **at("testreg" + suffix))


def nobody_asked(world, result):
    return ["%d requests were made" % len(world.log)] if world.log or world.evil else []


def clouds(suite):
    def no_acr_resource(world):
        world.entra.no_acr_resource = True

    def set_attribute(**attributes):
        return lambda w: w.registries["testreg.azurecr.io"].__dict__.update(attributes)

    regional = at("testreg.westeurope.geo.azurecr.io")
    judge(suite, "cloud: US government", cloud(".azurecr.us", "login.microsoftonline.us"),
          check=lambda w, r: [] if count(w, host="login.microsoftonline.us") else ["another login service was asked"])
    judge(suite, "cloud: China", cloud(".azurecr.cn", "login.chinacloudapi.cn"),
          check=lambda w, r: [] if count(w, host="login.chinacloudapi.cn") else ["another login service was asked"])
    judge(suite, "cloud: US government by AZURE_AUTHORITY_HOST", lambda w, r: dict(
        cloud(".azurecr.us", "login.microsoftonline.us")(w, r), AZURE_AUTHORITY_HOST="https://login.microsoftonline.us/"))
    judge(suite, "cloud: login service of another one", with_secret(AZURE_AUTHORITY_HOST="https://login.microsoftonline.us"), SETTING,
          ["belongs to the public Azure cloud, but the login service 'https://login.microsoftonline.us' to Azure US Government",
           "https://login.microsoftonline.com"], check=nobody_asked)
    judge(suite, "cloud: login service without TLS", with_secret(AZURE_AUTHORITY_HOST="http://login.microsoftonline.com"), SETTING,
          ["is no https://HOST"], check=nobody_asked)
    judge(suite, "audience: the cloud knows only the resource manager's", with_secret(no_acr_resource))
    judge(suite, "audience: the registry takes only the resource manager's", with_secret(set_attribute(take_acr=False)))
    judge(suite, "audience: the registry takes only its own", with_secret(set_attribute(take_arm=False)))
    judge(suite, "regional end point", with_secret(**regional))
    judge(suite, "registry's name in capitals", with_secret(**at("TestReg.AzureCR.io")), pushed=True)


def look_alikes(suite):
    hosts = ["testreg.azurecr.io.evil.example", "testregazurecr.io"]
    for host in hosts:
        judge(suite, "look-alike: " + host, with_secret(**at(host)), SETTING, ["'%s' is not an Azure registry" % host, "NAME.azurecr.io"], check=nobody_asked)
        judge(suite, "look-alike without a tenant: " + host, lambda w, r, h=host: dict(with_secret(**at(h))(w, r), TENANT_ID=None), SETTING,
              ["looks like an Azure registry"], check=nobody_asked)

    def base_image(world, runner):
        return dict(with_secret()(world, runner), PLUGIN_NO_PUSH="true")

    judge(suite, "look-alike: base image", base_image, AUTH, ["No credentials are known for 'testreg.azurecr.io.evil.example'"], pushed=False,
          dockerfile="FROM testreg.azurecr.io.evil.example/a\n")


def redirects(suite):
    evil = {"Location": "https://evil.example/oauth2/token"}

    def rule(match, **what):
        return lambda w: w.rules.append(dict({"match": match, "times": -1}, **what))

    def set_realm(world):
        world.registries["testreg.azurecr.io"].realm = "https://evil.example/oauth2/token"

    judge(suite, "redirect: Entra ID to another host", with_secret(rule("login.microsoftonline.com", status=307, headers=evil)), NETWORK,
          ["status 307"], check=lambda w, r: ["it was followed"] if w.evil else [])
    judge(suite, "redirect: exchange to another host", with_secret(rule("oauth2/exchange", status=308, headers=evil)), NETWORK,
          ["status 308"], check=lambda w, r: ["it was followed"] if w.evil else [])
    judge(suite, "redirect: token service to another host", with_secret(rule("testreg.azurecr.io POST /oauth2/token", status=307, headers=evil)), NETWORK,
          ["status 307"], check=lambda w, r: ["it was followed"] if w.evil else [])
    judge(suite, "redirect: a realm elsewhere", with_secret(set_realm), NETWORK, ["names a token service that is not its own: 'https://evil.example"],
          check=lambda w, r: ["it was followed"] if w.evil else [])
    judge(suite, "redirect: an upload elsewhere takes no token along",
          with_secret(rule("PUT /v2/team/app/blobs/uploads", status=307, headers={"Location": "https://evil.example/upload"})), NETWORK,
          check=lambda w, r: [] if w.evil and not any(e[3] for e in w.evil) else ["%s" % w.evil])

    def realm_of_config(world, runner):
        application(world)
        set_realm(world)
        return {"PLUGIN_DOCKER_CONFIG": docker_config(runner, world, {"auth": b64("testreg:admin-password")})}

    judge(suite, "redirect: a realm elsewhere, with a password", realm_of_config, NETWORK, ["that is not its own"],
          check=lambda w, r: ["it was followed"] if w.evil else [])

    def proxy(world, runner):
        return dict(with_secret(lambda w: w.rules.append({"match": "login.microsoft", "times": -1, "status": 200, "body": "{}"}))(world, runner),
                    PLUGIN_SKIP_TLS_VERIFY_PULL="true", SSL_CERT_FILE=world.pki.path("stranger.crt"))

    judge(suite, "no verification for pulls is none for Entra ID", proxy, NETWORK, ["certificate"],
          check=lambda w, r: ["Entra ID was asked"] if count(w, host="login.microsoftonline.com") else [])


def portal(suite):
    def registry_url(want):
        def check(world, result):
            got = json.loads(result.out["artifact.json"])["data"]["registryUrl"]
            return [] if got == want else ["registryUrl is '%s', not '%s'" % (got, want)]
        return check

    def known(world, **more):
        world.arm.subscriptions[SUBSCRIPTION] = {"testreg": RESOURCE}
        world.arm.readers.add(CLIENT)
        world.arm.__dict__.update(more)

    def us(world, runner):
        env = cloud(".azurecr.us", "login.microsoftonline.us")(world, runner)
        known(world)
        return dict(env, SUBSCRIPTION_ID=SUBSCRIPTION)

    def failing(text, change, subscription=SUBSCRIPTION):
        return with_secret(change, SUBSCRIPTION_ID=subscription), ["warning: the artifact file has no registryUrl: ", text]

    judge(suite, "portal: found", with_secret(known, PLUGIN_SUBSCRIPTION_ID=SUBSCRIPTION), check=registry_url(PORTAL % "com"))
    judge(suite, "portal: found on the third page", with_secret(lambda w: known(w, empty_pages=2), SUBSCRIPTION_ID=SUBSCRIPTION), check=registry_url(PORTAL % "com"))
    judge(suite, "portal: US government", us, check=registry_url(PORTAL % "us"))
    judge(suite, "portal: not asked for", with_secret(known), check=lambda w, r: ["it was"] if count(w, host="management.azure.com") else registry_url("")(w, r))
    rows = [
        ("no reader", *failing("status 403: AuthorizationFailed", lambda w: known(w, readers=set()))),
        ("unknown subscription", *failing("status 404: SubscriptionNotFound", lambda w: None)),
        ("a name instead of an id", *failing("'My subscription' is not a subscription's id", known, "My subscription")),
        ("no such registry", *failing("has no registry of that name", lambda w: w.arm.subscriptions.update({SUBSCRIPTION: {}}) or w.arm.readers.add(CLIENT))),
        ("a next page elsewhere", *failing("sends us to another host", lambda w: known(w, empty_pages=1, next_host="evil.example"))),
        ("it is down", *failing("status 503", lambda w: w.rules.append({"match": "management.azure.com", "status": 503, "times": -1}))),
    ]
    for name, env, texts in rows:
        judge(suite, "portal: " + name, env, stdout=texts, check=registry_url(""))


def run(suite):
    for part in (clouds, look_alikes, redirects, portal):
        part(suite)
