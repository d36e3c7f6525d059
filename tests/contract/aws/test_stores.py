"""Valkey and the buckets: what must not be lost, what must not be kept, and who may do what."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from control_plane.settings import Settings
from control_plane.store import objects
from control_plane.store.export_records import RETENTION
from fleet.keys import JOIN_USER, Keys, join_acl
from infra.stack import valkey
from tests.contract.aws.template import NODES, PARTS, RESOURCES, of_type, one, tasks, variables
from tests.support import REPOSITORY


def test_valkey_is_durable_encrypted_in_two_zones_and_never_evicts() -> None:
    group = one("Valkey", "Valkey")
    assert group["Durability"] == "sync"
    assert group["TransitEncryptionEnabled"] is True
    assert group["AtRestEncryptionEnabled"] is True
    assert group["MultiAZEnabled"] is True
    assert group["AutomaticFailoverEnabled"] is True
    assert group["ReplicasPerNodeGroup"] >= 1
    assert group["SnapshotRetentionLimit"] >= 7
    assert one("Valkey", "Parameters")["Properties"]["maxmemory-policy"] == "noeviction"


def test_what_is_durable_is_a_cluster_of_one_shard_of_nodes_that_can_be() -> None:
    """ElastiCache refuses Durability for anything else: its own page, "Limitations" of durability."""
    group = one("Valkey", "Valkey")
    assert (group["ClusterMode"], group["NumNodeGroups"]) == ("enabled", 1)
    assert one("Valkey", "Parameters")["Properties"]["cluster-enabled"] == "yes"
    for url in ("ControlUrl", "JoinUrl"):
        text = one("Valkey", url)["SecretString"]["Fn::Sub"]
        assert "${Valkey.ConfigurationEndPoint.Address}:6379/0" in text, "a cluster has no primary endpoint"
    kind = PARTS["(root)"].tree["Parameters"]["ValkeyNodeType"]
    for name in (kind["Default"], "cache.r7g.xlarge", "cache.c7gn.2xlarge"):
        assert re.fullmatch(kind["AllowedPattern"], name)
    for name in ("cache.t4g.small", "cache.r6gd.xlarge", "cache.m5.large"):
        assert not re.fullmatch(kind["AllowedPattern"], name)


def test_what_packs_the_memory_of_valkey_is_set_alike_everywhere() -> None:
    embedded = valkey.command(Path(), 0)
    compose = (REPOSITORY / "infra/compose.yaml").read_text(encoding="utf-8").split()
    for setting in ("stream-node-max-bytes", "hash-max-listpack-value"):
        value = str(one("Valkey", "Parameters")["Properties"][setting])
        assert [each[each.index(f"--{setting}") + 1] for each in (embedded, compose)] == [value, value]


def test_the_users_of_valkey_have_the_rules_of_the_contract() -> None:
    """ElastiCache makes these users from the template, where the control plane makes them elsewhere."""
    keys = Keys("prod")
    expected = {JOIN_USER: join_acl(keys)} | {f"node-{node}": keys.node_acl(node) for node in NODES}
    users = {}
    for user in of_type("AWS::ElastiCache::User").values():
        name = user.properties["UserName"]
        users[name["Fn::Sub"] if isinstance(name, dict) else name] = user.properties["AccessString"]
    assert users.pop("control") == "on ~* &* +@all"
    assert set(users) == set(expected)
    for name, rules in expected.items():
        given = shlex.split(users[name]["Fn::Sub"].replace("${Fleet}", "prod"))
        # a user that ElastiCache makes starts without keys, and its strings may not reset
        assert given == ["on", *(rule for rule in rules if rule != "resetkeys")], name


def test_valkey_knows_every_user_and_so_does_the_control_plane() -> None:
    """A group that lacks one lets its node never in; ids are put together from the list of nodes in two places."""
    joined = one("Valkey", "Users")["UserIds"]["Fn::Split"][1]["Fn::Sub"]
    assert joined[0] == "${ControlUser},${JoinUser},leadfleet-node-${Nodes}"
    assert joined[1]["Nodes"] == {"Fn::Join": [",leadfleet-node-", {"Ref": "NodeIds"}]}
    for node in NODES:
        assert one("Identities", f"NodeUser{node}")["UserId"] == {"Fn::Sub": f"leadfleet-node-{node}"}
    declared = variables(tasks()["ControlPlane"])["LEADFLEET_DECLARED_NODES"]
    assert declared == {"Fn::Join": [",", {"Ref": "NodeIds"}]}
    handed = {str(PARTS[part].given["NodeIds"]) for part in ("Identities", "Valkey", "ControlPlane", "Nodes", "Scaler")}
    assert handed == {"{'Fn::Join': [',', {'Ref': 'NodeIds'}]}"}
    assert Settings(declared_nodes="n1,n2").declared_nodes == ("n1", "n2")  # type: ignore[arg-type]


def test_valkey_is_made_after_its_users() -> None:
    """ElastiCache refuses a group of users that are not there."""
    given = {str(value["Fn::GetAtt"]) for value in PARTS["Valkey"].given.values() if "Fn::GetAtt" in value}
    assert "['Identities', 'Outputs.ControlUser']" in given


def test_buckets_are_private_encrypted_and_spoken_to_over_tls() -> None:
    buckets = of_type("AWS::S3::Bucket")
    assert {name for _, name in buckets} == {"ExportsBucket", "LeadsBucket"}
    for (_, name), bucket in buckets.items():
        block = bucket.properties["PublicAccessBlockConfiguration"]
        assert len(block) == 4
        assert set(block.values()) == {True}
        assert bucket.properties["BucketEncryption"]
        policy = next(p.properties for p in of_type("AWS::S3::BucketPolicy").values()
                      if p.properties["Bucket"] == {"Ref": name})  # fmt: skip
        tls = next(s for s in policy["PolicyDocument"]["Statement"] if s["Sid"] == "TlsOnly")
        assert (tls["Effect"], tls["Action"]) == ("Deny", "s3:*")
        assert tls["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert len(tls["Resource"]) == 2, "the bucket, and what is in it"


def test_exports_are_forgotten_as_in_a_bucket_of_our_own() -> None:
    """And records in Valkey are kept as long as the objects they tell of."""
    rules = {rule["Id"]: rule for rule in one("Storage", "ExportsBucket")["LifecycleConfiguration"]["Rules"]}
    ours = {rule["ID"]: rule for rule in objects.LIFECYCLE["Rules"]}
    assert set(rules) - {"athena"} == set(ours)
    assert {rule["Status"] for rule in [*rules.values(), *ours.values()]} == {"Enabled"}
    assert rules["exports"]["Prefix"] == ours["exports"]["Filter"]["Prefix"] == "exports/"
    assert rules["exports"]["ExpirationInDays"] == ours["exports"]["Expiration"]["Days"] == RETENTION.days
    assert "Prefix" not in rules["uploads"]
    assert rules["uploads"]["AbortIncompleteMultipartUpload"] == ours["uploads"]["AbortIncompleteMultipartUpload"]
    output = one("Storage", "Workgroup")["WorkGroupConfiguration"]["ResultConfiguration"]["OutputLocation"]["Fn::Sub"]
    assert output.endswith("/" + rules["athena"]["Prefix"]), "answers of Athena are forgotten where they are written"


def test_a_presigned_url_is_good_for_as_long_as_it_says() -> None:
    """``s3:signatureAge`` is in milliseconds; the expiry is the control plane's default, which no variable changes."""
    policy = one("Storage", "ExportsPolicy")["PolicyDocument"]["Statement"]
    old = next(statement for statement in policy if statement["Sid"] == "NoOldSignatures")
    limit = int(old["Condition"]["NumericGreaterThan"]["s3:signatureAge"])
    assert limit == Settings().export_expiry.total_seconds() * 1000
    assert "LEADFLEET_EXPORT_EXPIRY" not in variables(tasks()["ControlPlane"])


def test_a_frontend_reads_exports_and_writes_nothing() -> None:
    (rule,) = one("Storage", "ExportsBucket")["CorsConfiguration"]["CorsRules"]
    assert rule["AllowedOrigins"] == {"Ref": "AllowedOrigins"}
    assert set(rule["AllowedMethods"]) == {"GET", "HEAD"}
    assert "CorsConfiguration" not in one("Storage", "LeadsBucket")


def test_what_is_erased_is_gone_unless_an_operator_chose_otherwise() -> None:
    leads = one("Storage", "LeadsBucket")
    assert leads["VersioningConfiguration"]["Status"] == {"Fn::If": ["Undelete", "Enabled", "Suspended"]}
    assert PARTS["(root)"].tree["Parameters"]["LeadsUndeleteDays"]["Default"] == 0
    rule = next(rule for rule in leads["LifecycleConfiguration"]["Rules"] if rule["Id"] == "deleted")
    days = rule["NoncurrentVersionExpiration"]["NoncurrentDays"]
    assert days == {"Fn::If": ["Undelete", {"Ref": "LeadsUndeleteDays"}, 1]}
    assert rule["Status"] == "Enabled"
    assert "Prefix" not in rule
    assert "VersioningConfiguration" not in one("Storage", "ExportsBucket")


def test_nothing_but_deleted_versions_and_broken_uploads_leaves_the_leads_by_itself() -> None:
    for rule in one("Storage", "LeadsBucket")["LifecycleConfiguration"]["Rules"]:
        assert not {"ExpirationInDays", "ExpirationDate", "Transitions"} & set(rule)


def test_athena_reads_the_table_that_the_sink_writes() -> None:
    table = one("Storage", "Observations")["TableInput"]
    assert table["Parameters"]["table_type"] == "DELTA"
    written = variables(tasks()["ControlPlane"])["LEADFLEET_LEADS_URI"]["Fn::Sub"]
    assert table["StorageDescriptor"]["Location"]["Fn::Sub"] == written + "/"


def test_what_holds_data_outlives_the_stack() -> None:
    for kind in ("AWS::S3::Bucket", "AWS::ElastiCache::ReplicationGroup"):
        for resource in (r for r in RESOURCES.values() if r.kind == kind):
            assert resource.body["DeletionPolicy"] in {"Retain", "Snapshot"}
            assert resource.body["UpdateReplacePolicy"] in {"Retain", "Snapshot"}
