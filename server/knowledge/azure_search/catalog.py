"""Knowledge bases in Azure AI Search, behind the ports of the knowledge room: answers questions, fills nothing."""

from collections.abc import Mapping
from typing import Any

import msgspec
import structlog
import trio

from server.knowledge.azure_search.config import KnowledgeBaseSource, SearchConfig
from server.knowledge.azure_search.embedding import Embedder
from server.knowledge.azure_search.odata import Condition
from server.knowledge.azure_search.passages import (
    Place,
    document_title,
    document_uri,
    own,
    passages,
    piece,
    place_of,
    selected,
)
from server.knowledge.azure_search.persona import stored
from server.knowledge.azure_search.question import search_parameters, understood
from server.knowledge.azure_search.service import SearchService
from server.knowledge.base import (
    DEFAULT_LIMIT,
    DocumentText,
    KnowledgeUnavailable,
    Passage,
    Profile,
    UnknownKnowledgeBase,
    UnknownPassage,
    require_limit,
)
from server.knowledge.document_text import NEIGHBOURS, put_together
from server.knowledge.profiles import default_profile

_log = structlog.get_logger("liveavatar.knowledge")

# A persona changes when somebody ingests; sessions begin far more often.
PERSONA_TTL_S = 60.0
# Nobody should wait long for a greeting; without an answer the last known persona speaks, or the default.
_PERSONA_DEADLINE_S = 1.5


class AzureSearchKnowledgeBase:
    """One knowledge base in an index. Implements ``server.knowledge.base.KnowledgeBase``."""

    def __init__(
        self,
        service: SearchService,
        config: SearchConfig,
        source: KnowledgeBaseSource,
        profile: Profile,
        embedder: Embedder | None,
    ) -> None:
        self._service = service
        self._config = config
        self._source = source
        self._profile = profile
        self._embedder = embedder

    @property
    def kb_id(self) -> str:
        """The id it was opened by."""
        return self._source.kb_id

    @property
    def profile(self) -> Profile:
        """The persona as it was when the knowledge base was opened."""
        return self._profile

    async def search(self, query: str, *, limit: int = DEFAULT_LIMIT) -> list[Passage]:
        """As ``KnowledgeBase.search``. Cancelled, it closes its connection at once."""
        require_limit(limit)
        asked = understood(query)
        if not asked.words:
            await trio.lowlevel.checkpoint()
            return []
        mode = self._config.mode
        vector = None
        if mode != "keyword" and self._embedder is not None:
            (vector,) = await self._embedder.embed([asked.text])
        results = await self._service.search(
            self._source,
            (),
            select=selected(self._source),
            deadline_s=self._config.deadline_s,
            **search_parameters(
                asked,
                mode=mode,
                semantic=self._config.semantic,
                vector_field=self._source.fields.vector,
                vector=vector,
                limit=limit,
            ),
        )
        return passages(results, self._source, query, mode)[:limit]

    async def document(self, passage_id: str) -> DocumentText:
        """As ``KnowledgeBase.document``. Cancelled, it closes its connection at once."""
        place = place_of(passage_id, self._source)
        if place is None:
            await trio.lowlevel.checkpoint()
            raise UnknownPassage(passage_id)
        found = await (self._around(place) if self._source.fields.places else self._alone(place))
        pieces = [piece(result, self._source) for result in found]
        index = next((index for index, one in enumerate(pieces) if one.number == place.number), None)
        if index is None:
            raise UnknownPassage(passage_id)
        last = pieces[-1].number
        return put_together(
            [one for one in pieces if one.number <= place.number + NEIGHBOURS],
            index,
            last_number=last,
            passage_id=passage_id,
            title=document_title(found[index], self._source),
            uri=document_uri(found[index], self._source),
        )

    async def _around(self, place: Place) -> list[Mapping[str, Any]]:
        """The passages around a place in their order, and one more, which tells that the document goes on."""
        fields = self._source.fields
        conditions = (
            Condition(fields.document, "eq", place.document),
            Condition(fields.number, "ge", max(0, place.number - NEIGHBOURS)),
            Condition(fields.number, "le", place.number + NEIGHBOURS + 1),
        )
        results = await self._service.search(
            self._source,
            conditions,
            select=selected(self._source),
            deadline_s=self._config.deadline_s,
            search_text="*",
            order_by=[fields.number],
            top=2 * NEIGHBOURS + 2,
        )
        return [result for result in own(results, self._source) if result.get(fields.document) == place.document]

    async def _alone(self, place: Place) -> list[Mapping[str, Any]]:
        result = await self._service.get(
            self._source, place.document, select=selected(self._source), deadline_s=self._config.deadline_s
        )
        return [] if result is None else own([result], self._source)


class AzureSearchCatalog:
    """The knowledge bases that the settings name. Implements ``server.knowledge.base.KnowledgeCatalog``.

    Args:
        embedder: makes the vectors of questions; None leaves that to the index (integrated vectorization).
    """

    def __init__(self, config: SearchConfig, service: SearchService, *, embedder: Embedder | None = None) -> None:
        self._config = config
        self._service = service
        self._embedder = embedder
        self._personas: dict[str, tuple[float, Profile]] = {}

    async def open(self, kb_id: str) -> AzureSearchKnowledgeBase:
        """As ``KnowledgeCatalog.open``; a service that does not answer keeps nobody from beginning a session."""
        source = self._config.source(kb_id)
        if source is None:
            await trio.lowlevel.checkpoint()
            raise UnknownKnowledgeBase(kb_id)
        profile = await self._persona(source)
        return AzureSearchKnowledgeBase(self._service, self._config, source, profile, self._embedder)

    async def profiles(self) -> list[Profile]:
        """As ``KnowledgeCatalog.profiles``."""
        found: dict[str, Profile] = {}

        async def find(source: KnowledgeBaseSource) -> None:
            found[source.kb_id] = await self._persona(source)

        async with trio.open_nursery() as nursery:
            for source in self._config.sources:
                nursery.start_soon(find, source)
        return [found[kb_id] for kb_id in sorted(found)]

    async def check(self) -> dict[str, str]:
        """Asks each knowledge base for something, as sessions will; by ``kb_id`` what is wrong, empty where nothing is.

        For ``liveavatar check``: each text names the setting to look at.
        """
        wrong: dict[str, str] = {}

        async def ask(source: KnowledgeBaseSource) -> None:
            base = AzureSearchKnowledgeBase(
                self._service, self._config, source, default_profile(source.kb_id), self._embedder
            )
            wrong[source.kb_id] = ""
            try:
                await base.search("information", limit=1)
                await base.document(f"{source.kb_id}/none#1")
            except UnknownPassage:
                pass
            except KnowledgeUnavailable as error:
                wrong[source.kb_id] = str(error)

        async with trio.open_nursery() as nursery:
            for source in self._config.sources:
                nursery.start_soon(ask, source)
        return {kb_id: wrong[kb_id] for kb_id in sorted(wrong)}

    async def _persona(self, source: KnowledgeBaseSource) -> Profile:
        if source.profile is not None:
            await trio.lowlevel.checkpoint()
            return source.profile
        fresh_until, known = self._personas.get(source.kb_id, (0.0, default_profile(source.kb_id)))
        if trio.current_time() < fresh_until:
            await trio.lowlevel.checkpoint()
            return known
        try:
            # Well within the patience of whoever waits for the session to begin.
            deadline_s = min(_PERSONA_DEADLINE_S, self._config.deadline_s / 2)
            persona = await stored(self._service, source, deadline_s=deadline_s)
        except KnowledgeUnavailable as error:
            _log.warning("persona not found out", kb_id=source.kb_id, error=str(error))
            profile = known
        else:
            default = default_profile(source.kb_id)
            profile = default if persona is None else msgspec.structs.replace(persona.profile, kb_id=source.kb_id)
        # Also what was not found out: a service that is down is not asked again by every session.
        self._personas[source.kb_id] = (trio.current_time() + PERSONA_TTL_S, profile)
        return profile
