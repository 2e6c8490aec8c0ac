"""The caller of a page, a REST view or a service: who asks, with what, and what limits their permissions."""

from dataclasses import dataclass
from typing import Self

from django.core.exceptions import PermissionDenied

from accounts.models import User
from audit.models import Event
from environments.choices import CallerKind
from environments.models import ApiKey, Organisation


@dataclass(frozen=True)
class Caller:
    """Who asks: a person, an API key, an impersonator viewing as a member, or Studio itself.

    The middleware creates one for each request; ``ApiKeyAuthentication`` replaces it for a request with a key. Limits
    are stored here and never on the ``User``, so fetching the user again removes none of them.
    """

    kind: CallerKind
    # Whose memberships count: the person, the owner of a personal key, the person responsible for an organisation's
    # key, or the member viewed as. None for Studio, for nobody, and for a key without a responsible person.
    user: User | None = None
    key: ApiKey | None = None
    impersonator: User | None = None
    below: Organisation | None = None  # the only organisation where permissions count, with everything below it

    @classmethod
    def of(cls, user: User) -> Self:
        """Return the person as a caller without limits: in their own session, or as the author of something stored."""
        return cls(CallerKind.PERSON, user)

    @classmethod
    def of_requester(cls, user: User | None) -> Self:
        """Return the caller for a change that is made later than it was requested.

        That is the person who requested it, or Studio where none is stored: a key did, or the account was deleted.
        """
        return cls(CallerKind.SYSTEM) if user is None else cls.of(user)

    @classmethod
    def by_key(cls, key: ApiKey) -> Self:
        """Return the caller of a request with this key; reads its owner, organisation and ``created_by``."""
        if key.owner is None:
            return cls(CallerKind.ORGANISATION_KEY, key.created_by, key, below=key.organisation)
        return cls(CallerKind.PERSONAL_KEY, key.owner, key, below=key.organisation)

    @classmethod
    def viewing_as(cls, member: User, *, by: User, below: Organisation) -> Self:
        """Return the impersonator ``by`` viewing as ``member``, with permissions that both have, within ``below``."""
        return cls(CallerKind.IMPERSONATOR, member, impersonator=by, below=below)

    @property
    def person(self) -> User | None:
        """The person who acts in their own name; None for keys, impersonators and Studio."""
        return self.user if self.kind == CallerKind.PERSON else None

    def require_person(self) -> User:
        """Return the person who acts in their own name. Raises ``PermissionDenied`` if there is none."""
        if self.person is None:
            raise PermissionDenied
        return self.person

    @property
    def is_known(self) -> bool:
        return self.kind != CallerKind.NOBODY

    @property
    def is_superuser(self) -> bool:
        """Whether the caller has access to suspended organisations: super users do, also with a personal key."""
        if self.kind in {CallerKind.PERSON, CallerKind.PERSONAL_KEY}:
            return self.user is not None and self.user.is_superuser
        return self.kind == CallerKind.SYSTEM

    # What the audit log stores of a caller (``audit.services.Actor``).

    @property
    def pk(self) -> int | None:
        actor = self.key or self.user
        return actor.pk if actor is not None else None

    @property
    def actor_kind(self) -> str:
        actor = self.key or self.user
        return actor.actor_kind if actor is not None else Event.ActorKind.SYSTEM

    def __str__(self) -> str:
        return str(self.key or self.user or "Studio")


SYSTEM = Caller(CallerKind.SYSTEM)  # commands, tasks and beat: everything is allowed
NOBODY = Caller(CallerKind.NOBODY)  # visitors who are not logged in: nothing is allowed
