"""Decodes a trace with Perfetto's own bindings and checks what every trace must have. Prints its tracks as JSON."""
import json
import sys

from google.protobuf.unknown_fields import UnknownFieldSet
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as proto

trace = proto.Trace()
with open(sys.argv[1], "rb") as file:
    trace.ParseFromString(file.read())

EVENT = proto.TrackEvent
tracks, tree, flows = {}, {}, {}
for packet in trace.packet:
    assert not list(UnknownFieldSet(packet)), "every field is one of Perfetto's"
    assert packet.trusted_packet_sequence_id == 1
    for process in packet.process_tree.processes:
        tree[process.pid] = {"ppid": process.ppid, "start": process.process_start_from_boot}
    if packet.HasField("track_descriptor"):
        track = packet.track_descriptor
        known = tracks.setdefault(track.uuid, {"pid": None, "tid": None, "slices": [], "instants": [], "open": [], "last": 0})
        if track.HasField("process"):
            known["pid"], known["name"] = track.process.pid, track.process.process_name
        if track.HasField("thread"):
            known["pid"], known["tid"], known["name"] = track.thread.pid, track.thread.tid, track.thread.thread_name
            assert tracks[track.parent_uuid]["pid"] == known["pid"], "a thread is in its process"
    if not packet.HasField("track_event"):
        continue
    event, at = packet.track_event, packet.timestamp
    assert event.track_uuid in tracks, "an event is on a track that was introduced"
    track = tracks[event.track_uuid]
    notes = {note.name: getattr(note, note.WhichOneof("value")) for note in event.debug_annotations}
    if event.type == EVENT.TYPE_INSTANT:
        track["instants"].append({"name": event.name, "at": at, "notes": notes})
        for flow in event.flow_ids:
            assert flow not in flows, "a flow begins once"
            flows[flow] = [at, track["pid"], None, None]
        for flow in event.terminating_flow_ids:
            assert flows[flow][2] is None, "a flow ends once"
            flows[flow][2:] = [at, track["pid"]]
        continue
    assert at >= track["last"], "slices of a track do not go back in time"
    track["last"] = at
    if event.type == EVENT.TYPE_SLICE_BEGIN:
        track["open"].append({"name": event.name, "from": at, "notes": notes})
    else:
        assert event.type == EVENT.TYPE_SLICE_END
        slice = track["open"].pop()
        slice["to"], slice["depth"] = at, len(track["open"])
        slice["notes"].update(notes)
        track["slices"].append(slice)

for track in tracks.values():
    assert not track.pop("open"), "every slice has its end"
for begun, sender, ended, victim in flows.values():
    assert ended is not None and begun <= ended, "every flow has its end"
clocks = [{clock.clock_id: clock.timestamp for clock in packet.clock_snapshot.clocks} for packet in trace.packet if packet.HasField("clock_snapshot")]
print(json.dumps({"tracks": list(tracks.values()), "tree": tree, "flows": list(flows.values()), "clocks": clocks}))
