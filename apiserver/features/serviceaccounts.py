"""ServiceAccounts: the identities of pods, their tokens, and reviews of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from apiserver.admission.serviceaccount import ServiceAccount
from apiserver.api import issuer
from apiserver.api.nonresource import Document
from apiserver.api.reviews import authentication_reviews
from apiserver.api.tokenrequest import TOKEN
from apiserver.authorization.tokens import PublicKey, Verifier, read_public_keys
from apiserver.config import Config
from apiserver.features.feature import Base, Core, Feature
from apiserver.kinds.nodes import NODES
from apiserver.kinds.pods.row import PODS
from apiserver.kinds.reviews import SELF_SUBJECT_REVIEWS, TOKEN_REVIEWS
from apiserver.kinds.secrets import SECRETS
from apiserver.kinds.serviceaccounts import SERVICE_ACCOUNTS

# What a token names: the account itself, and the objects that it may be bound to.
_KINDS = {"serviceaccount": SERVICE_ACCOUNTS, "pod": PODS, "secret": SECRETS, "node": NODES}


def _keys(config: Config) -> Sequence[PublicKey]:
    """Return the keys that tokens are checked with; none without a key file."""
    key_file = config.service_account_key_file or config.service_account_signing_key_file
    return read_public_keys(key_file) if key_file else ()


def _authenticators(base: Base) -> Iterator[Verifier]:
    config = base.config
    if keys := _keys(config):
        yield Verifier(keys, config.service_account_issuer, config.audiences, base.reader, _KINDS)


def _documents(core: Core) -> Mapping[str, Document]:
    config = core.config
    here = f"https://{config.advertise_address}:{config.secure_port}{issuer.KEYS}"
    uri = config.service_account_jwks_uri or here
    return issuer.documents(config.service_account_issuer, uri, _keys(config))


FEATURE = Feature(
    "serviceaccounts",
    kinds=(SELF_SUBJECT_REVIEWS, SERVICE_ACCOUNTS, TOKEN_REVIEWS),
    subresources={SERVICE_ACCOUNTS.resource: (TOKEN,)},
    authenticators=_authenticators,
    admission=lambda base, authorizer: (ServiceAccount(),),
    reviews=lambda core: authentication_reviews(core.authenticators),
    documents=_documents,
)
