"""Reads SQL with PostgreSQL's own grammar: which tables of tenants does a statement use without their environment?

A table has its environment if a condition that every row passes ties ``environment_id`` to a value: a parameter, a
column of an outer statement, or one of a sub-query or function beside it. A tie to another table of the same statement
counts if that one is tied to a value: a join alone, even with organisations, selects no environment.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any

from pglast import ast, parse_sql
from pglast.enums import A_Expr_Kind, BoolExprType, JoinType, SubLinkType

TABLES = frozenset(
    {
        "archival_blobtodelete",
        "archival_hold",
        "conversations_attachment",
        "conversations_blob",
        "conversations_contact",
        "conversations_conversation",
        "conversations_conversationvariable",
        "conversations_dailycount",
        "conversations_dailycountdelta",
        "conversations_message",
    }
)
STARTS = ("archival_blobtodelete", "archival_hold", "conversations_")  # to pass over other statements at once
ENVIRONMENT = "environment_id"
PARAMETER = re.compile(r"%(?:s|\(\w+\)s|%)")
GIVEN = ("", "")  # a value from outside of the statement; every other point is (alias, column)

Point = tuple[str, str]
Tie = frozenset[Point]


@dataclass
class Source:
    """One entry of FROM, with the conditions that each of its rows passes."""

    alias: str
    table: str | None  # None: a sub-query, a function, or a query of WITH
    conditions: tuple[Any, ...]


@dataclass(frozen=True)
class Use:
    """A use of a tenant's table without its environment."""

    table: str
    alias: str
    is_apart: bool  # nor that of another table beside it: a statement on all tenants keeps each one's rows together

    def __str__(self) -> str:
        return f"{self.table} {self.alias}"


def without_environment(sql: str) -> tuple[Use, ...]:
    """Return the uses of tenants' tables without environment; () for anything that is not about rows.

    ``sql`` can have the driver's placeholders. Raises ``pglast.parser.ParseError``.
    """
    return uses_in(sql) if any(start in sql for start in STARTS) else ()


@lru_cache(maxsize=10_000)
def uses_in(sql: str) -> tuple[Use, ...]:
    return tuple(use for statement in statements_in(sql) for use in uses_without_environment(statement))


def statements_in(sql: str) -> list[ast.Node]:
    parsed = parse_sql(PARAMETER.sub(lambda found: "%" if found[0] == "%%" else "'?'", sql))
    return [raw.stmt for raw in parsed if isinstance(raw.stmt, ABOUT_ROWS)]


ABOUT_ROWS = (ast.SelectStmt, ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt, ast.MergeStmt)


def uses_without_environment(statement: ast.Node) -> Iterator[Use]:
    named = {node.ctename for node in nodes(statement) if isinstance(node, ast.CommonTableExpr)}
    for part in nodes(statement):
        if isinstance(part, ast.InsertStmt):
            yield from inserted_without_environment(part)
        elif isinstance(part, ast.MergeStmt):
            yield Use("a table", "of MERGE, which is not read", is_apart=True)
        elif isinstance(part, ABOUT_ROWS):
            sources = sources_of(part, named)
            tied = [(source, tied_to(source, sources)) for source in sources if source.table in TABLES]
            loose = [(source, points) for source, points in tied if GIVEN not in points]
            for source, points in loose:
                is_apart = (loose[0][0].alias, ENVIRONMENT) not in points
                yield Use(str(source.table), source.alias, is_apart=is_apart)


def inserted_without_environment(insert: ast.InsertStmt) -> Iterator[Use]:
    if insert.relation.relname in TABLES:
        conflict = insert.onConflictClause
        target = conflict.infer.indexElems if conflict and conflict.infer else insert.cols
        if any(ENVIRONMENT not in {column.name for column in columns or ()} for columns in (insert.cols, target)):
            yield Use(insert.relation.relname, "(inserted)", is_apart=True)


def nodes(node: Any) -> Iterator[ast.Node]:
    """Yield a node and all below it."""
    if isinstance(node, ast.Node):
        yield node
        for name in node:
            yield from nodes(getattr(node, name))
    elif isinstance(node, tuple):
        for each in node:
            yield from nodes(each)


# -- FROM -------------------------------------------------------------------------------------


def sources_of(statement: Any, named: set[str]) -> list[Source]:
    """Return what a SELECT, UPDATE or DELETE reads and writes itself, without its sub-queries."""
    if isinstance(statement, ast.SelectStmt):
        items = statement.fromClause or ()
    else:
        others = statement.fromClause if isinstance(statement, ast.UpdateStmt) else statement.usingClause
        items = (statement.relation, *(others or ()))
    where = (statement.whereClause,) if statement.whereClause else ()
    conditions = sum(map(passed, items), where)
    return [source for item in items for source in joined(item, conditions, named)]


def joined(item: Any, conditions: tuple[Any, ...], named: set[str]) -> Iterator[Source]:
    if isinstance(item, ast.JoinExpr):
        # An outer join keeps rows that pass no condition of its own: those of the side that it is named after.
        own = (*conditions, item.quals) if item.quals else conditions
        left = conditions if item.jointype in KEEPS_LEFT else own + passed(item.rarg)
        right = conditions if item.jointype in KEEPS_RIGHT else own + passed(item.larg)
        yield from joined(item.larg, left, named)
        yield from joined(item.rarg, right, named)
    elif isinstance(item, ast.RangeVar):
        alias = item.alias.aliasname if item.alias else item.relname
        yield Source(alias, None if item.relname in named else item.relname, conditions)
    else:
        yield Source(item.alias.aliasname if item.alias else "", None, conditions)


KEEPS_LEFT = {JoinType.JOIN_LEFT, JoinType.JOIN_FULL}
KEEPS_RIGHT = {JoinType.JOIN_RIGHT, JoinType.JOIN_FULL}


def passed(item: Any) -> tuple[Any, ...]:
    """Return the conditions that all rows of a join pass."""
    if not isinstance(item, ast.JoinExpr):
        return ()
    left = () if item.jointype in KEEPS_RIGHT else passed(item.larg)
    right = () if item.jointype in KEEPS_LEFT else passed(item.rarg)
    return left + right + ((item.quals,) if item.quals and item.jointype == JoinType.JOIN_INNER else ())


# -- Conditions ---------------------------------------------------------------------------------


def tied_to(source: Source, sources: list[Source]) -> set[Point]:
    """Return all points that a chain of ties leads to from the table's environment."""
    ties = set().union(*(ties_in(condition, sources) for condition in source.conditions))
    reached: set[Point] = set()
    to_visit: set[Point] = {(source.alias, ENVIRONMENT)}
    while to_visit:
        reached |= to_visit
        to_visit = {each for tie in ties if tie & to_visit - {GIVEN} for each in tie} - reached
    return reached


def ties_in(condition: Any, sources: list[Source]) -> frozenset[Tie]:
    """Return the equalities that hold for every row that passes the condition."""
    if isinstance(condition, ast.BoolExpr) and condition.boolop != BoolExprType.NOT_EXPR:
        parts = [ties_in(part, sources) for part in condition.args]
        return reduce(frozenset.union if condition.boolop == BoolExprType.AND_EXPR else frozenset.intersection, parts)
    if isinstance(condition, ast.SubLink) and condition.subLinkType == SubLinkType.ANY_SUBLINK:
        return frozenset() if condition.operName else equalities(condition.testexpr, condition, sources)
    if isinstance(condition, ast.A_Expr) and condition.kind in EQUALITIES and condition.name[-1].sval == "=":
        rights = condition.rexpr if condition.kind == A_Expr_Kind.AEXPR_IN else (condition.rexpr,)
        return reduce(frozenset.intersection, [equalities(condition.lexpr, right, sources) for right in rights])
    return frozenset()


EQUALITIES = {A_Expr_Kind.AEXPR_OP, A_Expr_Kind.AEXPR_OP_ANY, A_Expr_Kind.AEXPR_IN}


def equalities(left: Any, right: Any, sources: list[Source]) -> frozenset[Tie]:
    """Return the ties of ``left = right``, of which each can be a row: column by column."""
    lefts = left.args if isinstance(left, ast.RowExpr) else (left,)
    rights = right.args if isinstance(right, ast.RowExpr) else (right,) * len(lefts)
    pairs = ({point(a, sources), point(b, sources)} for a, b in zip(lefts, rights, strict=True))
    return frozenset(frozenset(pair) for pair in pairs if None not in pair)


def point(side: Any, sources: list[Source]) -> Point | None:
    """Return the column of a table of this statement, or ``GIVEN``; None for what is computed from such columns."""
    if isinstance(side, ast.TypeCast):
        return point(side.arg, sources)
    if isinstance(side, ast.ColumnRef):
        *qualifier, column = [field.sval if isinstance(field, ast.String) else "*" for field in side.fields]
        tables = [source.alias for source in sources if source.table]
        if qualifier:
            return (qualifier[-1], column) if qualifier[-1] in tables else GIVEN
        return (sources[0].alias, column) if len(sources) == 1 and tables else None
    if isinstance(side, ast.SubLink):
        return GIVEN
    columns = [node for node in nodes(side) if isinstance(node, ast.ColumnRef)]
    return GIVEN if all(point(column, sources) == GIVEN for column in columns) else None
