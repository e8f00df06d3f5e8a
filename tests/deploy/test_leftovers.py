"""deploy.sh deletes no queue that has messages, and warns of a warehouse that keeps what is deleted in it."""

from __future__ import annotations

import re
from functools import partial

from .aws import ACCOUNT, REGION, Aws

OFFER = "--discard-messages deletes them all the same"


def make_stack_with_messages(aws: Aws, stack: str) -> list[str]:
    """A stack that loads objects, and a message in its queue and in its dead-letter queue; returns their URLs."""
    aws.make_stack(stack, RawIngest="standard")
    functions, sqs = aws.client("lambda"), aws.client("sqs")
    # A mapping that is switched off, as during an outage: moto would load the message at once.
    for mapping in functions.list_event_source_mappings(FunctionName=stack)["EventSourceMappings"]:
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    urls = [sqs.get_queue_url(QueueName=f"{stack}-raw{dead}")["QueueUrl"] for dead in ("", "-dead")]
    for url in urls:
        sqs.send_message(QueueUrl=url, MessageBody="names an object")
    return urls


def queues(aws: Aws, stack: str) -> set[str]:
    found = aws.client("sqs").list_queues(QueueNamePrefix=f"{stack}-raw").get("QueueUrls", [])
    return {url.rsplit("/", 1)[1] for url in found}


def test_a_stack_with_messages_is_deleted_on_request_only(aws):
    queue, _ = make_stack_with_messages(aws, "waiting")
    sqs, delete = aws.client("sqs"), partial(aws.run, "deploy.sh", "--stack", "waiting", "--delete")
    printed = delete(fails=True)
    assert printed.startswith("deploy.sh: --delete would delete messages, each of an object that is not loaded: 1 in waiting-raw")
    assert re.search(r"1 in waiting-raw[,.]", printed) and re.search(r"1 in waiting-raw-dead[,.]", printed)
    assert OFFER in printed
    assert len(printed.strip().splitlines()) == 1
    # A message that is being loaded counts, too.
    [received] = sqs.receive_message(QueueUrl=queue)["Messages"]
    assert re.search(r"1 in waiting-raw[,.]", delete(fails=True))
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=received["ReceiptHandle"])
    # And dead letters alone.
    assert "not loaded: 1 in waiting-raw-dead. " in delete(fails=True)
    assert queues(aws, "waiting") == {"waiting-raw", "waiting-raw-dead"}
    printed = delete("--discard-messages")
    assert "    deleted\n" in printed
    assert f"kept, with all data: arn:aws:s3tables:{REGION}:{ACCOUNT}:bucket/of-waiting waiting-raw-{ACCOUNT}-{REGION}" in printed
    assert "objects that come into the raw bucket until then are not loaded" in printed
    assert queues(aws, "waiting") == set()
    assert "nothing to delete" in delete()


def test_queues_without_messages_do_not_keep_a_stack(aws, tmp_path):
    """Also a queue that somebody has deleted. moto cannot delete its stack, so the last step is denied."""
    queue, dead = make_stack_with_messages(aws, "emptied")
    aws.client("sqs").purge_queue(QueueUrl=dead)
    aws.client("sqs").delete_queue(QueueUrl=queue)
    denying = aws.path_denying(tmp_path, "delete-stack")
    printed = aws.run("deploy.sh", "--stack", "emptied", "--delete", fails=True, PATH=denying)
    assert printed.startswith(f"==> deleting stack emptied in {REGION}\n")


def test_queues_with_messages_are_replaced_on_request_only(aws, code):
    make_stack_with_messages(aws, "replaced")
    deploy = partial(aws.run, "deploy.sh", "--stack", "replaced", "--zip", str(code))
    for kind in ("off", "fifo"):
        printed = deploy("--", f"RawIngest={kind}", fails=True)
        assert printed.startswith(f"deploy.sh: RawIngest={kind} would delete messages, each of an object that is not loaded: 1 in ")
        assert OFFER in printed
    assert aws.stack("replaced")[1]["RawIngest"] == "standard"
    # Other changes leave the queues alone.
    deploy("--", "RawVisibilityTimeout=300")
    assert queues(aws, "replaced") == {"replaced-raw", "replaced-raw-dead"}
    deploy("--discard-messages", "--", "RawIngest=off")
    assert aws.stack("replaced")[1]["RawIngest"] == "off"


def test_messages_that_nobody_may_count_are_not_deleted(aws, tmp_path):
    aws.make_stack("uncounted", RawIngest="standard")
    denying = aws.path_denying(tmp_path, "get-queue-attributes")
    delete = partial(aws.run, "deploy.sh", "--stack", "uncounted", "--delete", PATH=denying)
    printed = delete(fails=True)
    assert "cannot be counted (An error occurred (AccessDenied)): allow sqs:GetQueueAttributes, or give --discard-messages" in printed
    assert len(printed.strip().splitlines()) == 1
    assert aws.stack("uncounted")[1]["RawIngest"] == "standard"
    assert "    deleted\n" in delete("--discard-messages")


def test_a_warehouse_that_keeps_old_versions_for_ever_is_warned_of(aws, code, tmp_path):
    deploy = partial(aws.run, "deploy.sh", "--stack", "versioned", "--zip", str(code))
    warned = "==> warning: bucket versions has versioning and no life-cycle rule for noncurrent versions: "
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="versions", CreateBucketConfiguration={"LocationConstraint": REGION})

    def set_rules(**rules: dict) -> None:
        every = [{"ID": name.lower(), "Filter": {"Prefix": ""}, "Status": name, **rule} for name, rule in rules.items()]
        s3.put_bucket_lifecycle_configuration(Bucket="versions", LifecycleConfiguration={"Rules": every})

    s3.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    assert warned in deploy("--", "CatalogType=glue", "WarehouseBucketName=versions")
    noncurrent, markers = {"NoncurrentVersionExpiration": {"NoncurrentDays": 3}}, {"Expiration": {"ExpiredObjectDeleteMarker": True}}
    set_rules(Disabled=noncurrent, Enabled=markers)
    # The stack's value counts when none is given now.
    assert warned in deploy()
    set_rules(Enabled={**noncurrent, **markers})
    assert "warning" not in deploy()
    # Whoever may not read them is told so, and may deploy.
    for operation in ("get-bucket-versioning", "get-bucket-lifecycle-configuration"):
        printed = deploy(PATH=aws.path_denying(tmp_path, operation))
        assert "==> warning: versioning and life-cycle rules of bucket versions cannot be read (An error occurred (AccessDenied))" in printed
