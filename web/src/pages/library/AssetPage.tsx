import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useNavigate, useParams } from "react-router";
import { assetQuery, runQuery } from "../../api/queries";
import type { Asset } from "../../api/types";
import { Page, useTitle } from "../../app/Page";
import { bytes, dateTime, dimensions, duration, humanise } from "../../lib/format";
import { contentUrl, isImage, isVideo, previewUrl } from "../../lib/media";
import { moneySentence } from "../../lib/phases";
import { takeLabel } from "../../lib/schema";
import { PublishDialog } from "../../publish/PublishDialog";
import { Button, ButtonAnchor, ButtonLink, Id, Loaded } from "../../ui";
import { useRemoveAsset } from "./Library";
import css from "./Library.module.css";

const MISSING = {
  title: "It is not in your library",
  words: "It was deleted, or it is another organisation’s.",
  to: "/library",
  label: "What is in your library",
};

export default function AssetPage() {
  const { id = "" } = useParams();
  const asset = useQuery(assetQuery(id));
  if (!asset.data)
    return (
      <Page title="A picture">
        <Loaded of={asset} missing={MISSING}>
          {() => null}
        </Loaded>
      </Page>
    );
  return <Shown asset={asset.data} />;
}

function Shown({ asset }: { asset: Asset }) {
  useTitle(asset.name);
  const navigate = useNavigate();
  const remove = useRemoveAsset();
  const [publishing, setPublishing] = useState(false);
  const run = useQuery({ ...runQuery(asset.run_id ?? ""), enabled: Boolean(asset.run_id) });
  const facts: [string, React.ReactNode][] = [
    [
      "Size",
      [
        dimensions(asset.width, asset.height),
        asset.duration_ms ? duration(asset.duration_ms) : "",
        bytes(asset.size_bytes),
      ]
        .filter(Boolean)
        .join(" · "),
    ],
    ["Type", asset.content_type],
    ["Here since", dateTime(asset.created_at)],
    ["Id", <Id key="id" value={asset.id} whole />],
    ...(asset.sha256 ? [["SHA-256", <Id key="sha" value={asset.sha256} />] as [string, React.ReactNode]] : []),
  ];
  return (
    <div className={css.assetPage}>
      <div className={css.show}>
        {isVideo(asset) ? (
          <video src={contentUrl(asset.id)} poster={previewUrl(asset.id)} controls loop aria-label={asset.name} />
        ) : (
          <img src={contentUrl(asset.id)} alt={asset.name} />
        )}
      </div>
      <div className={css.side}>
        <h1>{asset.name}</h1>
        <dl className={css.facts}>
          {facts.map(([name, value]) => (
            <div key={name} style={{ display: "contents" }}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
        <div className={css.sideActions}>
          {isImage(asset) && (
            <ButtonLink to={`/studio?asset=${asset.id}`} look="primary">
              Open in the studio
            </ButtonLink>
          )}
          {(isImage(asset) || isVideo(asset)) && asset.state === "ready" && (
            <Button icon="publish" onClick={() => setPublishing(true)}>
              Publish
            </Button>
          )}
          <ButtonAnchor href={contentUrl(asset.id)} download={asset.name} icon="download">
            Download
          </ButtonAnchor>
          <Button
            look="quiet"
            danger
            icon="trash"
            onClick={() => {
              remove(asset);
              void navigate("/library");
            }}
          >
            Delete
          </Button>
        </div>
        <h2>Where it comes from</h2>
        {asset.run_id ? (
          <>
            <p>
              <Link to={`/runs/${asset.run_id}`}>
                {run.data ? `${humanise(run.data.tool)}, ${takeLabel(run.data.input)}` : "The run that made it"}
              </Link>
              {run.data ? ` · ${moneySentence(run.data)}` : ""}
            </p>
            <ul className={css.lineage} aria-label="Made from">
              {(asset.inputs ?? []).map((input) => (
                <li key={input}>
                  <Link to={`/library/${input}`} aria-label="What it was made from">
                    <img src={previewUrl(input)} alt="" />
                  </Link>
                </li>
              ))}
            </ul>
          </>
        ) : (
          <p>It was uploaded.</p>
        )}
      </div>
      {publishing && <PublishDialog asset={asset} onClose={() => setPublishing(false)} />}
    </div>
  );
}
