"""Whoever refuses us repeats in the error's text all that we sent: header lines, URL, form. No secret of it is shown."""
import os
import urllib.parse

from azure import machine
from azure.acr import READER
from azure.world import APP_SERVICE_PORT, ARC_PORT

from . import images
from .common import CLIENT, IDS, SECRET, application, b64, judge, oidc, read
from .identities import ONE, managed
from .places import RESOURCE, SUBSCRIPTION
from .transfers import big

AUTH = 77
COPY = "FROM scratch\nCOPY big /big\n"
ODD = 'odd "quoted" \\back/slash+plus'


def run(suite):
    images.small(suite.world, "other.azurecr.io", "base/echo", (400000,))

    def echo(world, match, form, skip=0):
        world.secrets |= {urllib.parse.quote(SECRET, safe=""), urllib.parse.quote(ODD, safe=""), ODD}
        world.rules.append({"match": match, "echo": form, "times": -1, "skip": skip})

    def secret(match, form="json", skip=0, **env):
        def setup(world, runner):
            application(world)
            world.registries["other.azurecr.io"].roles[CLIENT] = {"*": READER}
            world.arm.subscriptions[SUBSCRIPTION] = {"testreg": RESOURCE}
            world.arm.readers.add(CLIENT)
            echo(world, match, form, skip)
            return dict(IDS, CLIENT_SECRET=SECRET, **env)
        return setup

    def certificate(world, runner):
        application(world)
        echo(world, "login.microsoftonline", "oauth")
        return dict(IDS, CLIENT_CERTIFICATE=b64(read(world.pki.path("app.pem"))))

    def federated(world, runner):
        application(world)
        echo(world, "login.microsoftonline", "oauth")
        return dict(IDS, PLUGIN_OIDC_TOKEN_ID=oidc(world))

    def admin(match, form):
        def setup(world, runner):
            application(world)
            world.registries["testreg.azurecr.io"].admin = ("testreg", ODD)
            echo(world, match, form)
            return {"PLUGIN_USERNAME": "testreg", "PLUGIN_PASSWORD": ODD}
        return setup

    def app_service(world, runner):
        managed(world, ONE)
        world.secrets.add(world.machine.header)
        echo(world, "^app-service", "oauth")
        return {"IDENTITY_ENDPOINT": "http://127.0.0.1:%d/msi/token" % APP_SERVICE_PORT, "IDENTITY_HEADER": world.machine.header}

    def arc(world, runner):
        managed(world, machine.Identity(ONE.client_id, ONE.object_id, ONE.resource_id, ONE.tenant, system=True))
        os.makedirs(machine.ARC_KEYS, exist_ok=True)
        echo(world, "^arc", "oauth", skip=1)
        return {"IDENTITY_ENDPOINT": "http://127.0.0.1:%d/metadata/identity/oauth2/token" % ARC_PORT, "IMDS_ENDPOINT": "http://127.0.0.1:%d" % ARC_PORT}

    said = ["you sent"]
    token = "testreg.azurecr.io (POST|GET) /oauth2/token"
    for form in ("json", "text", "detail"):
        judge(suite, "echo: upload, " + form, secret("POST /v2/.*uploads", form, skip=1), AUTH, said)
        judge(suite, "echo: token service, " + form, secret(token, form), AUTH, said)
        judge(suite, "echo: token service with a password, " + form, admin(token, form), AUTH, said)
    judge(suite, "echo: Entra ID, secret", secret("login.microsoftonline", "oauth"), AUTH, said)
    judge(suite, "echo: Entra ID, certificate", certificate, AUTH, said)
    judge(suite, "echo: Entra ID, federated token", federated, AUTH, said)
    judge(suite, "echo: exchange", secret("oauth2/exchange"), AUTH, said)
    judge(suite, "echo: an upload's state", secret("PATCH /v2/", "text"), AUTH, said, dockerfile=COPY, files=big(2))
    judge(suite, "echo: blob storage", secret("blob.core", "text"), AUTH, said, dockerfile="FROM scratch\nCOPY --from=other.azurecr.io/base/echo /layer0 /x\n")
    judge(suite, "echo: the resource manager", secret("management.azure.com", "text", SUBSCRIPTION_ID=SUBSCRIPTION), 0, stdout=said)
    judge(suite, "echo: App Service", app_service, AUTH, said)
    judge(suite, "echo: Arc", arc, AUTH, said)
